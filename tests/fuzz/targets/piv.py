"""The PIV application's parsers, which a host reaches once it has proven what it must.

PIN and management key are verified; then each step is a PIV command with any data, or data of the
right shape with any parts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tests.fuzz.source import Source, blob
from tests.fuzz.target import RSA_SECONDS, Target
from tests.virtual.hostile import HostileHost, hostile_host
from ushield.iso7816.tlv import encode
from ushield.piv.commands import ALGORITHM_CODE, CERTIFICATE_TAG, DataTag, Instruction

__all__ = ["TARGET"]

_INSTRUCTIONS: Final = tuple(sorted(map(int, Instruction)))
_SLOTS: Final = (0x9A, 0x9C, 0x9D, 0x9E, 0x82, 0x95, 0x9B, 0xF9, 0x80, 0x81, 0x00, 0xFF)
_ALGORITHMS: Final = (*ALGORITHM_CODE.values(), 0x03, 0x0A, 0x00)
_TAGS: Final = (*map(int, DataTag), *CERTIFICATE_TAG.values(), 0x5FFF00, 0x5FC1FF)
_PARTS: Final = (0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x80, 0x81, 0x82, 0x85, 0xAA, 0xAB)
_STEPS_AT_MOST: Final = 32


def _objects(source: Source) -> bytes:
    """Data objects one after the other, their lengths right."""
    return b"".join(encode(source.pick(_PARTS), source.blob()) for _ in range(source.byte() % 8))


def _any(host: HostileHost, source: Source) -> None:
    ins, p1p2 = source.pick(_INSTRUCTIONS), source.word()
    host.send(0, ins, p1p2, source.blob(), 65536)


def _generate(host: HostileHost, source: Source) -> None:
    control = encode(0x80, bytes((source.pick(_ALGORITHMS),))) + _objects(source)
    host.send(0, Instruction.GENERATE, source.pick(_SLOTS), encode(0xAC, control), 65536)


def _import(host: HostileHost, source: Source) -> None:
    p1p2 = source.pick(_ALGORITHMS) << 8 | source.pick(_SLOTS)
    host.send(0, Instruction.IMPORT, p1p2, _objects(source), 0)


def _authenticate(host: HostileHost, source: Source) -> None:
    p1p2 = source.pick(_ALGORITHMS) << 8 | source.pick(_SLOTS)
    host.verify_piv()
    host.send(0, Instruction.GENERAL_AUTHENTICATE, p1p2, encode(0x7C, _objects(source)), 65536)


def _put(host: HostileHost, source: Source) -> None:
    tag, value = source.pick(_TAGS).to_bytes(3, "big").lstrip(b"\0"), source.blob()
    named = encode(0x5C, tag)
    if host.send(0, Instruction.PUT_DATA, 0x3FFF, named + encode(0x53, value), 0).ok:
        answer = host.send(0, Instruction.GET_DATA, 0x3FFF, named, 65536)
        if value and answer.ok:
            assert answer.data == encode(0x53, value)


def _get(host: HostileHost, source: Source) -> None:
    tag = source.pick(_TAGS).to_bytes(3, "big").lstrip(b"\0")
    host.send(0, Instruction.GET_DATA, 0x3FFF, encode(0x5C, tag), 65536)


def _of_slot(host: HostileHost, source: Source) -> None:
    ins = source.pick((Instruction.GET_METADATA, Instruction.ATTEST, Instruction.MOVE_KEY))
    host.send(0, ins, source.pick(_SLOTS) << 8 | source.pick(_SLOTS), b"", 65536)


def _set_management_key(host: HostileHost, source: Source) -> None:
    p1p2 = 0xFF00 | source.pick((0xFF, 0xFE, 0x00))
    algorithm, key = source.byte(), source.blob()
    head = bytes((algorithm, 0x9B, len(key) & 0xFF))
    host.send(0, Instruction.SET_MANAGEMENT_KEY, p1p2, head + key, 0)
    host.administer()


_Step = Callable[[HostileHost, Source], None]
_STEPS: Final[tuple[_Step, ...]] = (
    _any,
    _generate,
    _import,
    _authenticate,
    _put,
    _get,
    _of_slot,
    _set_management_key,
)


def _run(data: bytes) -> None:
    source = Source(data)
    with hostile_host(iter(source.byte, -1)) as host:
        host.select_piv()
        host.administer()
        host.verify_piv()
        for _ in range(_STEPS_AT_MOST):
            if not source:
                return
            source.pick(_STEPS)(host, source)


def _importable() -> Iterator[bytes]:
    """The steps that import a key of each kind."""
    key = ec.generate_private_key(ec.SECP256R1()).private_numbers().private_value
    algorithm = _ALGORITHMS.index(0x11)
    yield bytes((2, algorithm, 0, 1, 5)) + blob(key.to_bytes(32, "big"))
    numbers = rsa.generate_private_key(65537, 2048).private_numbers()
    parts = (numbers.p, numbers.q, numbers.dmp1, numbers.dmq1, numbers.iqmp)
    objects = b"".join(
        bytes((index,)) + blob(part.to_bytes(128, "big")) for index, part in enumerate(parts)
    )
    yield bytes((2, _ALGORITHMS.index(0x07), 0, 5)) + objects


def _seeds() -> Iterator[bytes]:
    for step in _importable():
        yield step + bytes((6, 0, 0, 0, 3, _ALGORITHMS.index(0x11), 0, 1, 7)) + blob(bytes(32))
    for slot in range(len(_SLOTS)):
        for algorithm in range(len(_ALGORITHMS)):
            yield bytes((1, algorithm, slot, 2, 10, 1, 1, 11, 1, 2, 6, 1, slot, 0))
            yield bytes((3, algorithm, slot, 2, 8, 0, 7)) + blob(bytes(32)) + b"\1"
            yield bytes((3, algorithm, slot, 1, 9)) + blob(b"\4" + bytes(64)) + b"\1"
        yield bytes((6, 0, 0, slot, 6, 1, slot, 0, 6, 2, slot, 4))
    for tag in range(len(_TAGS)):
        yield bytes((4, tag)) + blob(bytes(300)) + bytes((5, tag))
        yield bytes((5, tag))
    for code, size in ((0x03, 24), (0x08, 16), (0x0A, 24), (0x0C, 32)):
        yield bytes((7, 0, code)) + blob(bytes(range(size))) + bytes((3, 0, 6, 1, 6)) + blob(b"")
    for ins in range(len(_INSTRUCTIONS)):
        yield bytes((0, ins, 0, 0x80)) + blob(b"12345678")


TARGET = Target(_run, _seeds, max_length=2048, seconds=RSA_SECONDS)
