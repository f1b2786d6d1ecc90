"""A PIV card that says anything, as our driver meets it; and the readers of its objects alone.

The card answers as a real one did, or almost, or by any bytes and status word. A real one here is
the virtual token, whose answers were recorded.
"""

from __future__ import annotations

import gzip
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import rsa

from tests.bank.odd import ODD_CERTIFICATES
from tests.drivers.piv_bench import PIN, PUK, PivBench, issue
from tests.fuzz.source import Source, blob
from tests.fuzz.target import Target
from tests.iso7816.connections import EXTENDED, SHORT, DirectConnection
from ushield.algorithms import HashAlgorithm, KeyAlgorithm
from ushield.drivers.base import Demand, KeyOptions, KeyUsage
from ushield.drivers.piv import PivDriver
from ushield.drivers.piv.public_keys import algorithm_of, key_id_of, public_key_in
from ushield.errors import InputInvalid, TlvInvalid, UShieldError
from ushield.iso7816.tlv import encode
from ushield.pin import KnownManagementKey, Pin, PinReference
from ushield.piv.objects import (
    MAX_CERTIFICATE,
    Application,
    KeyMetadata,
    SecretMetadata,
    decode_certificate,
    decode_guid,
    decode_management_key,
    decode_public_key,
    decode_response,
    encode_certificate,
)

__all__ = ["TARGET"]

_DRIVER: Final = 0xFF
_STEPS_AT_MOST: Final = 8
_MOST_COMMANDS: Final = 3000
_WORDS: Final = (0x9000, 0x6A80, 0x6A82, 0x6A88, 0x6982, 0x6985, 0x6983, 0x63C3, 0x6300, 0x6D00)
_SLOT: Final = 0x9A
_OTHER_PIN: Final = "97531042"
_DIGEST: Final = bytes(range(32))

_Step = Callable[[PivDriver], Any]
_STEPS: Final[tuple[_Step, ...]] = (
    lambda driver: driver.pin_states(),
    lambda driver: driver.verify_pin(Pin(PIN)),
    lambda driver: driver.keys(),
    lambda driver: driver.certificates(),
    lambda driver: driver.sign_digest(_SLOT, HashAlgorithm.SHA256, _DIGEST),
    lambda driver: driver.sign_challenge(_SLOT, bytes(16)),
    lambda driver: driver.attest(_SLOT),
    lambda driver: driver.device_certificate(),
    lambda driver: driver.read_certificate(_SLOT),
    lambda driver: driver.write_certificate(_certificate(), ""),
    lambda driver: driver.delete_certificate(_SLOT),
    lambda driver: driver.generate_key(
        KeyAlgorithm.P256, KeyUsage.AUTHENTICATION, "", KeyOptions(place="9c")
    ),
    lambda driver: driver.delete_key(_SLOT),
    lambda driver: driver.change_pin(PinReference.USER, Pin(PIN), Pin(_OTHER_PIN)),
    lambda driver: driver.unblock_pin(Pin(PUK), Pin(_OTHER_PIN)),
    lambda driver: driver.prove_management_key(KnownManagementKey.DEFAULT),
    lambda driver: driver.prove_management_key(KnownManagementKey.BEHIND_PIN),
    lambda driver: driver.logout(),
    lambda driver: driver.reset(),
)


@cache
def _recorded() -> tuple[dict[bytes, bytes], bytes]:
    """What a real card answered to each command, and the certificate of its key in 9A."""
    answers: dict[bytes, bytes] = {}
    with tempfile.TemporaryDirectory() as folder:
        bench = PivBench.plug(Path(folder) / "token")
        try:
            key = bench.key(touch=Demand.NEVER)
            bench.login()
            card = bench.token.card

            def transmit(command: bytes) -> bytes:
                # The first answer: later ones are of a card whose PIN was changed, and the like.
                return answers.setdefault(command, card.transmit(command))

            for limits in (SHORT, EXTENDED):
                driver = PivDriver.probe(DirectConnection(transmit, limits, card.power_on))
                assert driver is not None
                for step in _STEPS[:9]:
                    step(driver)
            return answers, issue(key.public_key)
        finally:
            bench.unplug()


def _certificate() -> bytes:
    return _recorded()[1]


def _run(data: bytes) -> None:
    source = Source(data)
    choice = source.byte()
    if choice < len(_READERS):
        with suppress(TlvInvalid):
            _READERS[choice](source.rest())
    else:
        _drive(source)


def _drive(source: Source) -> None:
    answers, _ = _recorded()
    count = 0

    def transmit(command: bytes) -> bytes:
        nonlocal count
        count += 1
        assert count < _MOST_COMMANDS
        return _answer(answers.get(command, b"\x6a\x80"), source)

    connection = DirectConnection(transmit, source.pick((SHORT, EXTENDED)))
    steps = source.blob()[:_STEPS_AT_MOST]
    with suppress(UShieldError):
        driver = PivDriver.probe(connection)
        if driver is None:
            return
        for step in steps:
            with suppress(UShieldError):
                _STEPS[step % len(_STEPS)](driver)
        driver.close()
        assert connection.closed


def _answer(right: bytes, source: Source) -> bytes:
    choice = source.byte()
    if choice < 0xA0:
        return right
    if choice < 0xC0:
        return source.pick(_WORDS).to_bytes(2, "big")
    if choice < 0xD0:
        return source.blob()[:256] + source.pick(_WORDS).to_bytes(2, "big")
    if choice < 0xE0:
        return source.blob()[:256] + source.word().to_bytes(2, "big")
    at = source.byte() % len(right)
    return right[:at] + bytes((source.byte(),)) + right[at + 1 :]


def _read_certificate(data: bytes) -> None:
    certificate = decode_certificate(data)
    assert len(certificate) <= MAX_CERTIFICATE
    assert decode_certificate(encode_certificate(certificate)) == certificate


def _read_key(certificate: bytes) -> None:
    public_key = public_key_in(certificate)
    if public_key is not None:
        assert len(key_id_of(public_key)) == 20
        with suppress(InputInvalid):
            algorithm_of(public_key)


_READERS: Final[tuple[Callable[[bytes], object], ...]] = (
    Application.decode,
    SecretMetadata.decode,
    KeyMetadata.decode,
    _read_certificate,
    decode_guid,
    decode_management_key,
    lambda data: decode_response(data, 0x82),
    _read_key,
    *(lambda data, algorithm=each: decode_public_key(algorithm, data) for each in KeyAlgorithm),
)


def _seeds() -> Iterator[bytes]:
    answers, certificate = _recorded()
    for answer in answers.values():
        for reader in range(len(_READERS)):
            if len(answer) > 2:
                yield bytes((reader,)) + answer[:-2]
    numbers = rsa.generate_private_key(65537, 2048).public_key().public_numbers()
    modulus = encode(0x81, numbers.n.to_bytes(256, "big"))
    for reader in range(len(_READERS)):
        yield bytes((reader,)) + modulus + encode(0x82, b"\1\0\1")
    plain = encode(0x70, certificate) + encode(0x71, b"\0") + encode(0xFE, b"")
    packed = encode(0x70, gzip.compress(certificate, mtime=0)) + encode(0x71, b"\1")
    bomb = encode(0x70, gzip.compress(bytes(1 << 20), mtime=0)) + encode(0x71, b"\1")
    for value in (plain, packed, bomb):
        yield b"\3" + encode(0x53, value)
    for one in (certificate, *ODD_CERTIFICATES.values()):
        yield bytes((_READERS.index(_read_key),)) + one
    for step in range(len(_STEPS)):
        for limits in range(2):
            steps = blob(bytes((15, 1, step, step)))
            yield bytes((_DRIVER, limits)) + steps
            for before in (0, 2, 6, 12, 20):
                lie = b"\xc0" + blob(b"answer") + b"\0"
                yield bytes((_DRIVER, limits)) + steps + bytes(before) + lie
                yield bytes((_DRIVER, limits)) + steps + bytes(before) + b"\xa5\3"


TARGET = Target(_run, _seeds, max_length=4096)
