"""A virtual token in a hostile host's hands, and what must hold whatever that host sends.

- Every command gets a status word.
- No signature by a display key, or by a PIV key that wants a touch, without a press of OK that was
  made for it, once its last page had been seen, and since the last reset.
- No PIN or PUK gets tries back, is changed or counts as verified without a proof; nor does the
  management key count as proven.

Whoever drives it has the host and the fingers; what the fingers did is known here.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Final
from unittest import mock

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.virtual.host import PIN, PUK, Host
from tests.virtual.piv_host import PivHost, cipher
from ushield.algorithms import KeyAlgorithm
from ushield.errors import ObjectNotFound
from ushield.iso7816.apdu import CommandApdu, ResponseApdu
from ushield.iso7816.tlv import encode, parse_one, read_template
from ushield.pin import PinReference
from ushield.piv.commands import AID as PIV_AID
from ushield.piv.commands import Instruction as Piv
from ushield.piv.commands import TouchPolicy
from ushield.shield.commands import AID as SHIELD_AID
from ushield.shield.commands import CLA_VENDOR, KeyUsageCode
from ushield.shield.commands import Instruction as Shield
from ushield.shield.events import PanelEvent, PanelEventKind, PanelKey
from ushield.shield.requests import RequestStage
from ushield.virtual import keys as virtual_keys
from ushield.virtual.applets import PivApplet, ShieldApplet
from ushield.virtual.applets.piv import key_commands as piv_key_commands
from ushield.virtual.applets.piv.session import TOUCH_TIME, PivSession
from ushield.virtual.clock import ManualClock
from ushield.virtual.keys import PrivateKey, generate_private_key
from ushield.virtual.token import VirtualToken

__all__ = ["HostileHost", "hostile_host"]

_CHAINED: Final = 0x10
_DIGITS: Final = re.compile(rb"[0-9]{4,}")
_LONGEST_SECRET: Final = 16
_ATTESTED_SLOTS: Final = (0x9A, 0x9C, 0x9D, 0x9E)


@cache
def _rsa_key(algorithm: KeyAlgorithm) -> PrivateKey:
    return generate_private_key(algorithm)


def _generate(algorithm: KeyAlgorithm) -> PrivateKey:
    # A second for an RSA key would be all that is done in it; the key itself is no matter.
    return _rsa_key(algorithm) if algorithm.is_rsa else generate_private_key(algorithm)


@cache
def _image() -> bytes:
    """A token with keys of every kind, as its file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        bank = ec.generate_private_key(ec.SECP256R1()).public_key()
        unblock_key = bank.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        with Host.create(path, unblock_key=unblock_key) as host:
            host.signing_key()
            host.generate(KeyUsageCode.AUTHENTICATION, label="login")
            piv = PivHost(host.token)
            assert piv.authenticate() == 0x9000
            for slot, touch in zip(_ATTESTED_SLOTS, (1, 2, 3, 2), strict=True):
                control = encode(0x80, b"\x11") + encode(0xAB, bytes((touch,)))
                assert piv.send(Piv.GENERATE, 0, slot, encode(0xAC, control)).ok
        return (path / "token").read_bytes()


class HostileHost:
    """One powered token."""

    def __init__(self, token: VirtualToken, touches: Iterator[int]) -> None:
        self.token = token
        self._touches = touches
        self._down: set[PanelKey] = set()
        self._read: set[bytes] = set()
        self._pressed: set[bytes] = set()
        self._presses = 0
        self._touched: dict[int, float] = {}
        self._proving = False
        self.request_id = bytes(8)
        token.panel.connect(self._see)
        token.card.power_on()

    @property
    def clock(self) -> ManualClock:
        """The token's time."""
        clock = self.token.clock
        assert isinstance(clock, ManualClock)
        return clock

    @property
    def _selected(self) -> object:
        return self.token.card._selected

    # Fingers.

    def key_down(self, key: PanelKey) -> None:
        """Press a key; whether that counts as a press of OK for a request is noted."""
        self._look()
        request = self.token.panel.state.live_request
        if (
            key is PanelKey.OK
            and key not in self._down
            and request is not None
            and request.request_id in self._read
        ):
            self._pressed.add(request.request_id)
            self._presses += 1
        self._down.add(key)
        self.token.panel.key_down(key)
        self._look()

    def _look(self) -> None:
        panel = self.token.panel
        request = panel.state.live_request
        if request is not None and panel.page == len(panel.pages):
            self._read.add(request.request_id)

    def key_up(self, key: PanelKey) -> None:
        """Let go of a key."""
        self._down.discard(key)
        self.token.panel.key_up(key)

    def press(self, key: PanelKey) -> None:
        """Press a key and let go of it."""
        self.key_down(key)
        self.key_up(key)

    def confirm(self) -> None:
        """Read to the end, as a person does, and press OK."""
        for key in PanelKey:
            self.key_up(key)
        for _ in self.token.panel.pages:
            self.press(PanelKey.DOWN)
        self.press(PanelKey.OK)

    def _see(self, report: bytes) -> None:
        """What a finger does when PIV asks: it waits in the command, so it must be now."""
        event = PanelEvent.decode(report)
        if event.kind is not PanelEventKind.PAGE_SHOWN or not isinstance(self._selected, PivApplet):
            return
        request = self.token.panel.state.live_request
        if request is None or request.request_id != event.request_id:
            return
        choice = next(self._touches, 0)
        if choice & 1:
            self.confirm()
        elif choice & 2:
            self.press(PanelKey(choice % len(PanelKey) + min(PanelKey)))
        request = self.token.panel.state.live_request
        if request is not None and request.stage is RequestStage.SHOWING:
            # Nobody comes any more; the command counts its own time from after this.
            self.clock.advance(self.token.profile.timeout)

    # Power.

    def reset(self) -> None:
        """Power the card anew."""
        self.token.card.power_on()
        self._pressed.clear()
        self._touched.clear()

    def replug(self) -> None:
        """Pull the token out and put it in."""
        self.token.unplug()
        self.token.plug()
        self._down.clear()
        self.reset()

    # Commands.

    def send(
        self, cla: int, ins: int, p1p2: int = 0, data: bytes = b"", ne: int = 256
    ) -> ResponseApdu:
        """A well-formed command."""
        command = CommandApdu(cla, ins, p1p2 >> 8, p1p2 & 0xFF, data, ne)
        return ResponseApdu.decode(self.transmit(command.encode()))

    def transmit(self, command: bytes) -> bytes:
        """Any bytes at all."""
        nvram, card = self.token._nvram, self.token.card
        before = {each: nvram.reference(each) for each in PinReference}
        secret_hashes = [each.secret for each in before.values()]
        signatures = nvram.counters().signatures
        request = self.token.panel.state.live_request
        selected, chained = self._selected, bytes(card._chain)
        touch = self._touch_wanted(command)
        administered = self._session.administrator and self._session.pin_verified
        verified = self._verified()
        administrator = self._session.administrator
        presses = self._presses

        answer = card.transmit(command)

        assert 2 <= len(answer) <= 65538
        assert answer[-2] >> 4 in {6, 9}
        done = answer[-2:] == b"\x90\x00" or answer[-2] == 0x61
        assert done or len(answer) == 2
        after = {each: nvram.reference(each) for each in PinReference}
        verified_now = [
            now and not then for then, now in zip(verified, self._verified(), strict=True)
        ]
        if any(verified_now):
            user = before[PinReference.USER].secret
            assert any(map(user.matches, _secrets_in(chained + command[4:])))
        assert self._proving or administrator or not self._session.administrator
        if any(
            after[each].tries_left > before[each].tries_left
            or after[each].secret != before[each].secret
            for each in PinReference
        ):
            assert done
            ins = command[1]
            if ins == Piv.SET_RETRIES:
                assert administered
                assert after[PinReference.PUK].tries_left <= before[PinReference.PUK].tries_left
            elif ins == Piv.RESET:
                assert not any(each.tries_left for each in before.values())
            else:
                assert any(
                    secret.matches(guess)
                    for guess in _secrets_in(chained + command[4:])
                    for secret in secret_hashes
                )
        counted = nvram.counters().signatures - signatures
        is_sign = command[:2] == bytes((CLA_VENDOR, Shield.SIGN))
        asked = is_sign and isinstance(selected, ShieldApplet)
        if counted or (asked and done):
            assert request is not None
            assert request.request_id in self._pressed
            self._pressed.remove(request.request_id)
            assert counted <= 1
        if touch is not None and done:
            slot, policy = touch
            now = self.clock.monotonic()
            touched = self._presses > presses
            lately = now - self._touched.get(slot, -TOUCH_TIME) < TOUCH_TIME
            assert touched or (policy is TouchPolicy.CACHED and lately)
            if touched:
                self._touched[slot] = now
        return answer

    @property
    def _session(self) -> PivSession:
        piv = self.token.card._applets[PIV_AID]
        assert isinstance(piv, PivApplet)
        return piv._session

    def _verified(self) -> tuple[bool, ...]:
        """Whether the PIN is verified, for each application and each use of it."""
        state = self.token.panel.state
        return (
            state.pin_verified,
            state.pin_unused,
            self._session.pin_verified,
            self._session.pin_unused,
        )

    def _touch_wanted(self, command: bytes) -> tuple[int, TouchPolicy] | None:
        """The slot and policy of the PIV key that ``command`` uses, if it wants a finger."""
        if not isinstance(self._selected, PivApplet) or command[:2] != b"\x00\x87":
            return None
        try:
            key = self.token._nvram.piv_key(command[3] if len(command) > 3 else 0)
        except ObjectNotFound:
            return None
        return None if key.touch_policy is TouchPolicy.NEVER else (key.slot, key.touch_policy)

    # What a host does that knows its way.

    def select_shield(self) -> ResponseApdu:
        """SELECT the shield application."""
        return self.send(0, Shield.SELECT, 0x0400, SHIELD_AID)

    def select_piv(self) -> ResponseApdu:
        """SELECT the PIV application."""
        return self.send(0, Shield.SELECT, 0x0400, PIV_AID)

    def administer(self) -> None:
        """Prove the management key to the PIV application, if it is still the first one."""
        answer = self._dynamic(encode(0x80, b""))
        if not answer.ok:
            return
        management = self.token._nvram.management_key()
        with_key = cipher(management.algorithm, management.key)
        witness = read_template(parse_one(answer.data).value).take(0x80)
        plain = with_key.decryptor().update(witness)
        challenge = os.urandom(management.algorithm.block_size)
        self._proving = True
        self._dynamic(encode(0x80, plain) + encode(0x81, challenge))
        self._proving = False

    def _dynamic(self, objects: bytes) -> ResponseApdu:
        return self.send(0, Piv.GENERAL_AUTHENTICATE, 0x009B, encode(0x7C, objects))

    def verify_piv(self, pin: str = PIN) -> int:
        """VERIFY by PIV."""
        return self.send(0, Piv.VERIFY, 0x80, pin.encode().ljust(8, b"\xff")).sw

    def verify_shield(self, pin: str = PIN) -> int:
        """VERIFY by the shield application."""
        return self.send(0, Shield.VERIFY, 0x81, pin.encode(), ne=0).sw

    def unblock(self) -> None:
        """RESET RETRY COUNTER, to the PIN that was there first."""
        self.send(0, Piv.RESET_RETRY_COUNTER, 0x80, (PUK + PIN).encode() + b"\xff\xff")


def _secrets_in(data: bytes) -> Iterator[bytes]:
    for run in _DIGITS.finditer(data):
        digits = run[0][:64]
        for start in range(len(digits)):
            for end in range(start + 4, min(len(digits), start + _LONGEST_SECRET) + 1):
                yield digits[start:end]


@contextmanager
def hostile_host(touches: Iterator[int]) -> Iterator[HostileHost]:
    """A new token with keys of every kind; ``touches`` says what fingers do when PIV asks: bit 0
    for a person who confirms, else bit 1 for one key, else nothing.
    """
    memory = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with (
        tempfile.TemporaryDirectory(prefix="ushield-fuzz-", dir=memory) as folder,
        mock.patch.object(virtual_keys, "generate_private_key", _generate),
        mock.patch.object(piv_key_commands, "generate_private_key", _generate),
    ):
        path = Path(folder) / "token"
        path.touch(0o600)
        path.write_bytes(_image())
        with VirtualToken.open(path, clock=ManualClock()) as token:
            yield HostileHost(token, touches)
