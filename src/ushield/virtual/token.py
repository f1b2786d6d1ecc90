"""A virtual token as a whole: memory, card, panel, USB device, and the cable it hangs on."""

from __future__ import annotations

import os
from collections.abc import Callable
from threading import Lock
from types import TracebackType

from ushield.iso7816.status import StatusWord
from ushield.transaction.pages import Screen
from ushield.transaction.repertoire import Repertoire
from ushield.virtual.applets import Firmware, PivApplet, SecurityDomain, ShieldApplet
from ushield.virtual.card import ATR, Card
from ushield.virtual.channel_key import ChannelKeys
from ushield.virtual.clock import Clock, ManualClock, SystemClock
from ushield.virtual.confirmation import ConfirmationMachine
from ushield.virtual.keys import KeyStore
from ushield.virtual.nvram import Nvram, NvramConnection, NvramFaults, PowerCut
from ushield.virtual.nvram.reader import connect_sqlite
from ushield.virtual.panel import Panel
from ushield.virtual.pins import PinStore
from ushield.virtual.profile import VirtualProfile
from ushield.virtual.usb import VirtualBackend, VirtualUsbDevice
from ushield.virtual.usb.contact import Card as SlotCard

__all__ = ["VirtualToken", "live_token"]

_NO_DIAGNOSIS = StatusWord.NO_DIAGNOSIS.to_bytes(2, "big")

_live: dict[str, VirtualToken] = {}
_live_lock = Lock()


def live_token(path: str | os.PathLike[str]) -> VirtualToken | None:
    """The token of this file that is open in this process, if it is."""
    with _live_lock:
        return _live.get(os.path.realpath(path))


class _Socket:
    """The card as its reader holds it: a power cut in the card is a device that went away."""

    def __init__(self, power_cut: Callable[[], None]) -> None:
        self.card: Card
        self._power_cut = power_cut

    def power_on(self) -> bytes:
        try:
            return self.card.power_on()
        except PowerCut:
            self._power_cut()
            return ATR

    def power_off(self) -> None:
        self.card.power_off()

    def transmit(self, command: bytes) -> bytes:
        try:
            return self.card.transmit(command)
        except PowerCut:
            self._power_cut()
            return _NO_DIAGNOSIS

    def is_slow(self, command: bytes) -> bool:
        return self.card.is_slow(command)


class VirtualToken:
    """One virtual token, plugged in; made by `open`, a context manager.

    ``panel`` is for fingers and eyes, ``device`` and ``backend`` are its USB side, ``clock`` its
    time. Faults on its USB transfers are ordered at ``device.faults``.
    """

    def __init__(self, nvram: Nvram, clock: Clock) -> None:
        profile, identity = nvram.profile, nvram.identity
        info = profile.screen
        self.path = nvram.path
        self.profile: VirtualProfile = profile
        self.serial = identity.serial
        self.clock = clock
        self._screen = Screen(info.lines, info.columns, Repertoire(info.repertoire), info.banner)
        machine = ConfirmationMachine(
            timeout=profile.timeout, pin_per_signature=profile.pin_rules.pin_per_signature
        )
        self.panel = Panel(self._screen, machine, clock, serial=identity.serial)
        self._socket = _Socket(self._cut_power)
        self._cut = False
        self._install(nvram)
        self.device = VirtualUsbDevice(
            self._socket,
            vendor_id=profile.vendor_id,
            product_id=profile.product_id,
            manufacturer=profile.manufacturer,
            product=profile.model,
            serial=identity.serial,
        )
        self.device.on_detach(self._lose_power)
        self.panel.connect(self.device.report)
        self.backend = VirtualBackend([self.device])
        self._stop_clock: Callable[[], None] | None = None
        if isinstance(clock, ManualClock):
            self._stop_clock = clock.on_advance(self.panel.tick)

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        clock: Clock | None = None,
        faults: NvramFaults | None = None,
        connect: Callable[[str], NvramConnection] = connect_sqlite,
    ) -> VirtualToken:
        """Open a token file and plug the token in.

        ``clock`` is the system's by default. ``faults`` may cut the power at any write to the
        memory; ``connect`` opens its database. Raises what `Nvram.open` does: `TokenNotFound`,
        `TokenBusy`, `TokenFileInvalid`, `StorageFull`.
        """
        nvram = Nvram.open(path, connect=connect, faults=faults)
        try:
            token = cls(nvram, clock if clock is not None else SystemClock())
        except BaseException:
            nvram.close()
            raise
        with _live_lock:
            _live[token.path] = token
        return token

    @property
    def card(self) -> Card:
        """The card in it; another object after a power cut."""
        return self._socket.card

    @property
    def contacts(self) -> SlotCard:
        """The card as a reader of another kind holds it, in which a power cut shows as well."""
        return self._socket

    @property
    def plugged(self) -> bool:
        """Whether the cable is in and the power there."""
        return self.device.attached

    def unplug(self) -> None:
        """Pull the token out, whatever it is doing. Harmless to repeat."""
        # First, so that a command which waits for a key ends, and gives the card free.
        self.panel.switch(on=False)
        self.device.detach()

    def plug(self) -> None:
        """Put the token in again; after a power cut its memory is opened anew, without faults."""
        if self.device.attached:
            return
        if self._cut:
            self._install(Nvram.open(self.path))
            self._cut = False
        self.panel.switch(on=True)
        self.device.attach()

    def close(self) -> None:
        """Pull the token out for good and let others open its file. Harmless to repeat."""
        with _live_lock:
            if _live.get(self.path) is self:
                del _live[self.path]
        if self._stop_clock is not None:
            self._stop_clock()
        self.unplug()
        self._nvram.close()

    def __enter__(self) -> VirtualToken:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _install(self, nvram: Nvram) -> None:
        self._nvram = nvram
        channel_keys = ChannelKeys(nvram)
        firmware = Firmware(
            profile=self.profile,
            nvram=nvram,
            pins=PinStore(nvram, self.profile.pin_rules),
            keys=KeyStore(nvram),
            channel_keys=channel_keys,
            panel=self.panel,
            screen=self._screen,
            clock=self.clock,
        )
        self._socket.card = Card(
            [ShieldApplet(firmware), PivApplet(firmware), SecurityDomain(channel_keys)],
            agree=channel_keys.agree,
        )

    def _cut_power(self) -> None:
        self._cut = True
        self.unplug()

    def _lose_power(self) -> None:
        self.panel.switch(on=False)
        self.card.power_off()
