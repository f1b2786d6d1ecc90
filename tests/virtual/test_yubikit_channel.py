"""yubikit, unmodified, through its SCP11b client, with nothing between it and the card."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from tests.clients.conftest import MANAGEMENT_KEY, PIN, PUK
from ushield.virtual.create import create_token
from ushield.virtual.token import VirtualToken

pytest.importorskip("yubikit.piv", reason="run with: pip install 'ushield[clients]'")


@pytest.fixture
def token(tmp_path: Path) -> Iterator[VirtualToken]:
    create_token(tmp_path / "token", pin=PIN, puk=PUK)
    with VirtualToken.open(tmp_path / "token") as token:
        token.card.power_on()
        yield token


@pytest.fixture
def sent() -> list[bytes]:
    return []


@pytest.fixture
def connection(token: VirtualToken, sent: list[bytes]) -> Any:
    from yubikit.core import TRANSPORT
    from yubikit.core.smartcard import SmartCardConnection

    class Direct(SmartCardConnection):
        transport = TRANSPORT.USB

        def send_and_receive(self, apdu: bytes) -> tuple[bytes, int]:
            sent.append(bytes(apdu))
            answer = token.card.transmit(bytes(apdu))
            sent.append(answer)
            return answer[:-2], int.from_bytes(answer[-2:], "big")

        def close(self) -> None:
            pass

    return Direct()


def parameters(connection: Any, ca: bytes | None = None) -> Any:
    """What ykman does for ``--scp``: look for the key, and check its certificates."""
    from ykman._cli.util import find_scp11_params
    from yubikit.core.smartcard.scp import ScpKid

    return find_scp11_params(connection, ScpKid.SCP11b, 0, ca)


def test_it_finds_the_key_and_its_certificates_below_the_device_s(
    connection: Any, token: VirtualToken
) -> None:
    from cryptography import x509

    device = x509.load_der_x509_certificate(token._nvram.identity.device_certificate)
    found = parameters(connection, device.public_bytes(Encoding.PEM))
    assert bytes(found.ref) == bytes((0x13, 1))
    assert found.pk_sd_ecka == parameters(connection).pk_sd_ecka


def test_it_verifies_generates_signs_and_reads_through_the_channel(
    connection: Any, sent: list[bytes]
) -> None:
    from yubikit.piv import KEY_TYPE, OBJECT_ID, SLOT, PivSession

    session = PivSession(connection, parameters(connection))
    del sent[:]
    session.authenticate(bytes.fromhex(MANAGEMENT_KEY))
    session.verify_pin(PIN)
    key = session.generate_key(SLOT.SIGNATURE, KEY_TYPE.ECCP256)
    session.verify_pin(PIN)
    signature = session.sign(SLOT.SIGNATURE, KEY_TYPE.ECCP256, b"message", SHA256())
    assert isinstance(key, ec.EllipticCurvePublicKey)
    key.verify(signature, b"message", ec.ECDSA(SHA256()))
    session.put_object(OBJECT_ID.PRINTED, bytes(range(256)) * 10)
    assert session.get_object(OBJECT_ID.PRINTED) == bytes(range(256)) * 10
    session.change_pin(PIN, "271828")
    session.unblock_pin(PUK, PIN)
    on_the_wire = b"".join(sent)
    for secret in (PIN, PUK, "271828"):
        assert secret.encode() not in on_the_wire
    assert all(command[0] & 0x04 for command in sent[::2] if command[1] != 0xC0)


def test_a_wrong_pin_is_told_through_the_channel(connection: Any) -> None:
    from yubikit.core import InvalidPinError
    from yubikit.piv import PivSession

    session = PivSession(connection, parameters(connection))
    with pytest.raises(InvalidPinError) as caught:
        session.verify_pin("908172")
    assert caught.value.attempts_remaining == 5


@pytest.mark.parametrize("short", [True, False])
def test_short_and_extended_apdus_are_one_to_the_channel(connection: Any, short: bool) -> None:
    from yubikit.core import Version
    from yubikit.piv import OBJECT_ID, PivSession

    session = PivSession(connection, parameters(connection))
    session.protocol.configure(Version(5, 7, 0), force_short=short)
    session.authenticate(bytes.fromhex(MANAGEMENT_KEY))
    for size in (1, 200, 230, 300, 2000):
        session.put_object(OBJECT_ID.SECURITY, bytes(size))
        assert session.get_object(OBJECT_ID.SECURITY) == bytes(size)


def test_what_the_pin_allowed_through_it_is_not_for_the_clear(connection: Any) -> None:
    from yubikit.core.smartcard import ApduError
    from yubikit.piv import KEY_TYPE, SLOT, PivSession

    session = PivSession(connection, parameters(connection))
    session.authenticate(bytes.fromhex(MANAGEMENT_KEY))
    session.generate_key(SLOT.AUTHENTICATION, KEY_TYPE.ECCP256)
    session.verify_pin(PIN)
    with pytest.raises(ApduError):
        PivSession(connection).sign(SLOT.AUTHENTICATION, KEY_TYPE.ECCP256, b"1", SHA256())
