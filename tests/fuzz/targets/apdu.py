"""A hostile host and careless fingers at a virtual token with both its applications.

An input is a list of steps: any command, a command almost as it should be, one as it should be, a
chain cut anywhere, a key, a while, the power.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from tests.fuzz.source import Source, blob
from tests.fuzz.target import RSA_SECONDS, Target
from tests.virtual.host import MESSAGE, PIN, PUK, subject
from tests.virtual.hostile import HostileHost, hostile_host
from ushield.algorithms import HashAlgorithm, KeyAlgorithm
from ushield.iso7816.tlv import encode
from ushield.piv.commands import AID as PIV_AID
from ushield.piv.commands import Instruction as Piv
from ushield.shield.commands import AID as SHIELD_AID
from ushield.shield.commands import BeginKind, DataObject, KeyUsageCode
from ushield.shield.commands import Instruction as Shield
from ushield.shield.events import PanelKey
from ushield.shield.objects import ChallengeToSign, DigestToSign, GenerateKey, tag_list
from ushield.shield.pins import encode_change
from ushield.shield.requests import Begin, Begun, encode_request_id

__all__ = ["TARGET"]

_CLASSES: Final = (0x00, 0x80, 0x10, 0x90, 0x0C, 0x84, 0x01, 0x40, 0xFF)
_INSTRUCTIONS: Final = tuple(sorted({*map(int, Shield), *map(int, Piv)}))
_PARAMETERS: Final = (
    *(0x0000, 0x0400, 0x0081, 0x0083, 0x0080, 0x009B, 0x3FFF, 0x9E9A, 0xFF81, 0xFF80, 0x0100),
    *(0x119A, 0x119C, 0x119D, 0x119E, 0x0082, 0x9A00, 0x0303, 0x0F0F, 0xFFFF, 0x009A, 0x009C),
)
_LENGTHS: Final = (0, 1, 256, 65536, 10, 255)
_DATA: Final = (
    b"",
    SHIELD_AID,
    PIV_AID,
    PIN.encode(),
    b"975310",
    PIN.encode().ljust(8, b"\xff"),
    b"\xff" * 8,
    encode_change(PIN.encode(), b"975310"),
    encode_change(PUK.encode(), b"975310"),
    (PUK + PIN).encode() + b"\xff\xff",
    encode_request_id(bytes(8)),
    tag_list(DataObject.KEYS),
    tag_list(DataObject.CERTIFICATE, 1),
    tag_list(DataObject.LABEL) + encode(0x53, b"x"),
    Begin(1, MESSAGE).encode(),
    Begin(1, subject()).encode(),
    DigestToSign(1, HashAlgorithm.SHA256, bytes(32)).encode(),
    DigestToSign(2, HashAlgorithm.SHA256, bytes(32)).encode(),
    ChallengeToSign(2, bytes(16)).encode(),
    GenerateKey(KeyAlgorithm.P256, KeyUsageCode.DISPLAY, "k").encode(),
    encode(0x84, b"\x01"),
    encode(0x5C, bytes.fromhex("5FC105")),
    encode(0x5C, bytes.fromhex("5FC105")) + encode(0x53, b"x" * 20),
    encode(0x7C, encode(0x82, b"") + encode(0x81, bytes(32))),
    encode(0x7C, encode(0x80, b"")),
    encode(0xAC, encode(0x80, b"\x11") + encode(0xAA, b"\x01") + encode(0xAB, b"\x01")),
    bytes(300),
)
_SECONDS: Final = (0.5, 15.0, 60.0)
_STEPS_AT_MOST: Final = 48


def _raw(host: HostileHost, source: Source) -> None:
    host.transmit(source.blob())


def _data(source: Source) -> bytes:
    choice = source.byte()
    if choice < len(_DATA):
        return _DATA[choice]
    return source.blob()


def _built(host: HostileHost, source: Source) -> None:
    cla, ins = source.pick(_CLASSES), source.pick(_INSTRUCTIONS)
    choice = source.byte()
    p1p2 = _PARAMETERS[choice] if choice < len(_PARAMETERS) else source.word()
    host.send(cla, ins, p1p2, _data(source), source.pick(_LENGTHS))


def _chained(host: HostileHost, source: Source) -> None:
    """One command in links; between them whatever the fuzzer likes."""
    cla, ins = source.pick((0x00, 0x80)), source.pick(_INSTRUCTIONS)
    choice = source.byte()
    p1p2 = _PARAMETERS[choice] if choice < len(_PARAMETERS) else source.word()
    data = _data(source)
    while data:
        size = source.byte() + 1
        link, data = data[:size], data[size:]
        between = source.byte()
        if between == 1:
            host.transmit(source.blob())
        elif between == 2:
            host.select_shield()
        elif between == 3:
            host.send(0, Shield.GET_RESPONSE)
        elif between == 4:
            host.reset()
        elif between == 5:
            ins = source.pick(_INSTRUCTIONS)
        host.send(cla | (0x10 if data else 0), ins, p1p2, link, 0 if data else 256)


def _flood(host: HostileHost, source: Source) -> None:
    """A chain that does not end."""
    ins = source.pick(_INSTRUCTIONS)
    for _ in range(40):
        host.send(0x90, ins, 0, bytes(4096), 0)


def _begin(host: HostileHost, source: Source) -> None:
    kind = source.pick(tuple(BeginKind))
    message = MESSAGE if kind is BeginKind.TRANSACTION else subject("CN=a")
    host.select_shield()
    host.verify_shield()
    answer = host.send(0x80, Shield.BEGIN, kind << 8, Begin(1, message).encode())
    if answer.ok:
        host.request_id = Begun.decode(answer.data).request_id


def _sign(host: HostileHost, source: Source) -> None:
    ne = source.pick((65536, 0, 256, 1))
    host.send(0x80, Shield.SIGN, 0, encode_request_id(host.request_id), ne)


def _cancel(host: HostileHost, source: Source) -> None:
    host.send(0x80, Shield.CANCEL, 0, encode_request_id(host.request_id))


def _use_piv_key(host: HostileHost, source: Source) -> None:
    p1p2 = 0x1100 | source.pick((0x9A, 0x9C, 0x9D, 0x9E, 0x82))
    host.verify_piv()
    block = encode(0x82, b"") + encode(0x81, bytes(32))
    host.send(0, Piv.GENERAL_AUTHENTICATE, p1p2, encode(0x7C, block), 256)


def _get_response(host: HostileHost, source: Source) -> None:
    host.send(0, Shield.GET_RESPONSE, source.byte() & 1, b"", source.byte())


_Step = Callable[[HostileHost, Source], object]
_STEPS: Final[tuple[_Step, ...]] = (
    _raw,
    _built,
    _chained,
    _get_response,
    _begin,
    _sign,
    _cancel,
    lambda host, source: host.confirm(),
    lambda host, source: host.key_down(source.pick(tuple(PanelKey))),
    lambda host, source: host.key_up(source.pick(tuple(PanelKey))),
    lambda host, source: host.press(source.pick(tuple(PanelKey))),
    lambda host, source: host.clock.advance(source.pick(_SECONDS)),
    lambda host, source: host.reset(),
    lambda host, source: host.replug(),
    lambda host, source: host.select_shield(),
    lambda host, source: host.select_piv(),
    lambda host, source: host.verify_shield(),
    lambda host, source: host.verify_shield("902143"),
    lambda host, source: host.verify_piv(),
    lambda host, source: host.verify_piv("902143"),
    lambda host, source: host.administer(),
    _use_piv_key,
    lambda host, source: host.unblock(),
    _flood,
)
_BUILT, _CHAIN = 1, 2


def _run(data: bytes) -> None:
    source = Source(data)
    with hostile_host(iter(source.byte, -1)) as host:
        for _ in range(_STEPS_AT_MOST):
            if not source:
                return
            source.pick(_STEPS)(host, source)


def _seeds() -> Iterator[bytes]:
    yield bytes((4, 0, 7, 5, 0))
    yield bytes((4, 0, 7, 5, 3, 3, 0, 0, 3, 0, 255))
    yield bytes((4, 1, 8, 0, 12, 5, 0, 4, 0, 13, 5, 0))
    yield bytes((15, 20, 18, 21, 0, 21, 1, 1, 21, 2, 2, 21, 3, 1))
    yield bytes((14, *(17,) * 8, 15, 22, 19, 18))
    yield bytes((14, 23, 0, 23, 9, 3, 0, 0))
    for ins in range(len(_INSTRUCTIONS)):
        for select, cla in ((14, 0), (14, 1), (15, 0)):
            login = (20, 18) if select == 15 else (16,)
            for data in range(ins % 3, len(_DATA), 3):
                parameter = (ins + data) % len(_PARAMETERS)
                yield bytes((select, *login, _BUILT, cla, ins, parameter, data, 2))
        yield bytes((14, _CHAIN, 1, ins, 0, 14, 200, 0, 200, 2, 200, 0, 200, 0))
        yield bytes((0,)) + blob(bytes((0, ins, 0, 0, 0, 0, 0)))


TARGET = Target(_run, _seeds, max_length=512, seconds=RSA_SECONDS)
