"""A token with the shield application that lies, behind a secure channel that is in order.

Whoever makes a token has the key of its channel, so that its answers reach our driver as they are:
right, or almost, or any bytes and status word.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from typing import Any, Final

from tests.fuzz.source import Source, blob
from tests.fuzz.target import Target
from tests.iso7816.connections import EXTENDED, SHORT, DirectConnection
from tests.virtual.host import MESSAGE, OTHER_PIN, PIN, PUK, foreign_certificate, subject
from tests.virtual.hostile import HostileHost, hostile_host
from ushield.algorithms import HashAlgorithm, KeyAlgorithm
from ushield.drivers.base import KeyUsage
from ushield.drivers.shield import ShieldDriver
from ushield.errors import UShieldError
from ushield.pin import Pin, PinReference
from ushield.shield.commands import AID
from ushield.virtual.card import Answer, Applet

__all__ = ["TARGET"]

_STEPS_AT_MOST: Final = 8
_MOST_COMMANDS: Final = 3000
_WORDS: Final = (0x9000, 0x6A80, 0x6A82, 0x6A88, 0x6982, 0x6985, 0x6983, 0x63C3, 0x9501, 0x9504)


@cache
def _foreign() -> bytes:
    return foreign_certificate()


_Step = Callable[[ShieldDriver], Any]
_STEPS: Final[tuple[_Step, ...]] = (
    lambda driver: driver.pin_states(),
    lambda driver: driver.verify_pin(Pin(PIN)),
    lambda driver: driver.keys(),
    lambda driver: driver.certificates(),
    lambda driver: driver.read_certificate(1),
    lambda driver: driver.counters(),
    lambda driver: driver.request_state(driver.begin(1, MESSAGE).request_id),
    lambda driver: driver.finish(driver.begin(1, MESSAGE).request_id),
    lambda driver: driver.cancel(driver.begin_certification_request(1, subject()).request_id),
    lambda driver: list(driver.vouchers()),
    lambda driver: driver.sign_digest(2, HashAlgorithm.SHA256, bytes(32)),
    lambda driver: driver.sign_challenge(2, bytes(16)),
    lambda driver: driver.attest(1),
    lambda driver: driver.device_certificate(),
    lambda driver: driver.write_certificate(_foreign(), "x", is_ca=True),
    lambda driver: driver.delete_certificate(1),
    lambda driver: driver.generate_key(KeyAlgorithm.P256, KeyUsage.DISPLAY, "x"),
    lambda driver: driver.delete_key(2),
    lambda driver: driver.change_pin(PinReference.USER, Pin(PIN), Pin(OTHER_PIN)),
    lambda driver: driver.unblock_pin(Pin(PUK), Pin(OTHER_PIN)),
    lambda driver: driver.unblock_challenge(),
    lambda driver: driver.unblock_by_bank(bytes(70), Pin(OTHER_PIN)),
    lambda driver: driver.set_label("label"),
    lambda driver: driver.logout(),
    lambda driver: driver.reset(),
)


class _Liar:
    """The application of a real token, whose answers the fuzzer may change."""

    def __init__(self, applet: Applet, source: Source) -> None:
        self._applet = applet
        self._source = source
        self._count = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._applet, name)

    def select(self) -> bytes:
        return self._lie(self._applet.select(), 0x9000)[0]

    def process(
        self, cla: int, ins: int, p1: int, p2: int, data: bytes, *, secured: bool = False
    ) -> Answer:
        self._count += 1
        assert self._count < _MOST_COMMANDS
        return self._lie(*self._applet.process(cla, ins, p1, p2, data, secured=secured))

    def _lie(self, data: bytes, sw: int) -> Answer:
        source = self._source
        choice = source.byte()
        if choice < 0xA0:
            return data, sw
        if choice < 0xC0:
            return b"", source.pick(_WORDS)
        if choice < 0xD0:
            return source.blob(), source.pick(_WORDS)
        if choice < 0xE0 or not data:
            return source.blob(), source.word() | 0x6000
        at = source.word() % len(data)
        return data[:at] + bytes((source.byte(),)) + data[at + 1 :], sw


def _run(data: bytes) -> None:
    source = Source(data)
    with hostile_host(iter(int, 1)) as host:
        limits = source.pick((EXTENDED, SHORT))
        steps = source.blob()[:_STEPS_AT_MOST]
        _make_a_liar_of(host, source)
        card = host.token.card
        connection = DirectConnection(card.transmit, limits, card.power_on)
        with suppress(UShieldError):
            driver = ShieldDriver.probe(connection)
            if driver is None:
                return
            for step in steps:
                with suppress(UShieldError):
                    _STEPS[step % len(_STEPS)](driver)
            driver.close()
            assert connection.closed


def _make_a_liar_of(host: HostileHost, source: Source) -> None:
    card = host.token.card
    card._applets[AID] = _Liar(card._applets[AID], source)


def _seeds() -> Iterator[bytes]:
    for step in range(len(_STEPS)):
        steps = blob(bytes((1, step, step)))
        for limits in range(2):
            yield bytes((limits,)) + steps
        for before in (0, 2, 3, 5):
            yield b"\0" + steps + bytes(before) + b"\xc0" + blob(b"answer") + b"\0"
            yield b"\0" + steps + bytes(before) + b"\xe5\0\x03\x77"
            yield b"\0" + steps + bytes(before) + b"\xa0\x05"


TARGET = Target(_run, _seeds, max_length=1024, seconds=4.0)
