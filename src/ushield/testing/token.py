"""A token under test: a virtual one, or by option one that is plugged in."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import NoReturn, TextIO

from ushield.algorithms import KeyAlgorithm
from ushield.bank.authorities.development import DevelopmentAuthority
from ushield.drivers.base import KeyUsage
from ushield.errors import PinIncorrect, PinLocked
from ushield.iso7816.replay import ReplayConnection
from ushield.iso7816.trace import TraceHeader, TraceWriter, read_trace
from ushield.iso7816.traffic import RecordingConnection, TrafficLog
from ushield.pin import Pin
from ushield.signing import SigningToken, open_token
from ushield.signing.opening import token_behind
from ushield.testing.panel import HandPanel, PanelDriver, VirtualPanel
from ushield.transport.registry import open_spec
from ushield.virtual.clock import ManualClock
from ushield.virtual.create import create_token
from ushield.virtual.nvram import NvramFaults
from ushield.virtual.token import VirtualToken
from ushield.virtual.usb import UsbFaults

__all__ = ["ForeignToken", "TokenUnderTest", "VirtualTokenUnderTest", "replay"]


class TokenUnderTest(ABC):
    """What a test may do with any token: open it, and know its PIN."""

    def __init__(self, spec: str, pin: str) -> None:
        self.spec = spec
        self.pin = pin

    def open(self) -> SigningToken:
        """`ushield.open_token` on it."""
        return open_token(self.spec)

    def record(self, stream: TextIO) -> SigningToken:
        """Open it, and write a trace of all its traffic to ``stream``, secrets left out."""
        connection = open_spec(self.spec)
        writer = TraceWriter(stream)
        writer.begin(TraceHeader(connection.atr, connection.limits, connection.has_panel))
        return token_behind(RecordingConnection(connection, TrafficLog(writer.write)))

    @property
    @abstractmethod
    def panel(self) -> PanelDriver:
        """Its screen and keys."""


def replay(path: Path) -> SigningToken:
    """The token that a trace recorded: the same commands in the same order get the same answers.

    Its panel's events are in the trace, too: what was confirmed then needs no press now.
    """
    with path.open(encoding="utf-8") as lines:
        return token_behind(ReplayConnection(read_trace(lines)))


class VirtualTokenUnderTest(TokenUnderTest):
    """A virtual token, plugged in, with its own clock, panel and faults.

    ``clock`` stands still until the test moves it. The fixtures `create` and close it.
    """

    def __init__(
        self, path: Path, virtual: VirtualToken, clock: ManualClock, *, pin: str, puk: str
    ) -> None:
        super().__init__(f"virtual:{path}", pin)
        self.path = path
        self.puk = puk
        self.clock = clock
        self.authority = DevelopmentAuthority("Test Bank")
        self.virtual = virtual
        self._panel = VirtualPanel(virtual)

    @classmethod
    def create(
        cls,
        path: Path,
        *,
        profile: str = "default",
        pin: str = "135790",
        puk: str = "24681357",
        default_pin: bool = False,
        clock: ManualClock | None = None,
        memory_faults: NvramFaults | None = None,
    ) -> VirtualTokenUnderTest:
        """Make a token file at ``path`` and plug it in.

        ``default_pin``: its PIN counts as the one it came with. ``memory_faults`` may cut its
        power at any write.
        """
        clock = clock or ManualClock()
        create_token(path, profile=profile, pin=pin, puk=puk, default_pin=default_pin)
        virtual = VirtualToken.open(path, clock=clock, faults=memory_faults)
        return cls(path, virtual, clock, pin=pin, puk=puk)

    @property
    def panel(self) -> VirtualPanel:
        """Its screen and keys."""
        return self._panel

    @property
    def usb_faults(self) -> UsbFaults:
        """Faults to order on its bulk pipes."""
        return self.virtual.device.faults

    @property
    def serial(self) -> str:
        """Its serial number."""
        return self.virtual.serial

    def unplug(self) -> None:
        """Pull it out."""
        self.virtual.unplug()

    def plug(self) -> None:
        """Put it in again."""
        self.virtual.plug()

    def enrol(
        self,
        algorithm: KeyAlgorithm = KeyAlgorithm.P256,
        *,
        usage: KeyUsage = KeyUsage.DISPLAY,
        subject: str = "CN=李四,C=CN",
        label: str = "signing",
    ) -> bytes:
        """Make a key, have `authority` certify it, store the certificate; its DER."""
        with self.open() as token, token.session(self.pin) as session:
            key = session.generate_key(algorithm, usage, label=label)
            session.login(self.pin)
            pending = session.request_certificate(key, subject)
            fingerprint = hashlib.sha256(key.info.public_key).hexdigest().upper()
            self.panel.expect_values(fingerprint).press_ok()
            request = pending.result(timeout=10)
            session.login(self.pin)
            certificate = self.authority.issue(request.der)
            session.import_certificates(certificate)
        return certificate

    def spend_tries(self, left: int) -> None:
        """Enter wrong PINs until ``left`` tries are left; 0 locks it."""
        wrong = "".join(str((int(digit) + 5) % 10) for digit in self.pin)
        with self.open() as token:
            while token.pin.tries_left > left:
                try:
                    with Pin(wrong) as pin, token.session() as session:
                        session.login(pin, allow_last_try=True)
                except (PinIncorrect, PinLocked):
                    continue

    def close(self) -> None:
        """Unplug it for good."""
        self.virtual.close()

    def __enter__(self) -> VirtualTokenUnderTest:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


_OF_A_VIRTUAL_TOKEN = frozenset(("authority", "clock", "path", "puk", "virtual"))


class ForeignToken(TokenUnderTest):
    """A token that the tests did not make: what only a virtual one can do calls ``skip``."""

    def __init__(
        self, spec: str, pin: str, *, say: Callable[[str], None], skip: Callable[[str], NoReturn]
    ) -> None:
        super().__init__(spec, pin)
        self._panel = HandPanel(say, skip)
        self._skip = skip

    @property
    def panel(self) -> PanelDriver:
        """Its screen and keys, by a person's hand."""
        return self._panel

    def __getattr__(self, name: str) -> NoReturn:
        if hasattr(VirtualTokenUnderTest, name) or name in _OF_A_VIRTUAL_TOKEN:
            self._skip(f"{name} of a virtual token")
        raise AttributeError(name)
