"""Nothing that a token hands out leaves unless it is the signature that was asked for."""

from __future__ import annotations

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests import pki
from tests.signing.conftest import payment
from ushield.algorithms import HashAlgorithm, KeyAlgorithm
from ushield.cms import Receipt, parse_signed_data, signed_attributes
from ushield.drivers.base import KeyInfo, KeyUsage, TokenInfo
from ushield.errors import SignatureMismatch
from ushield.keystore import Certificate, PrivateKey
from ushield.pin import PinRules
from ushield.shield.application import ScreenInfo
from ushield.shield.requests import Signed
from ushield.signing.evidence import check_signature, read_receipt
from ushield.signing.signature import SigningRequest
from ushield.transaction import parse_message, write_message

MESSAGE = write_message(payment())
RECEIPT = pki.receipt_for(MESSAGE)
INFO = TokenInfo(
    driver="shield",
    manufacturer="ushield",
    model="Shield",
    serial=RECEIPT.serial,
    label="",
    firmware="1.0.0",
    capabilities=frozenset(),
    pin_rules=PinRules(),
    screen=ScreenInfo(RECEIPT.lines, RECEIPT.columns, RECEIPT.repertoire, RECEIPT.banner),
)
ALGORITHMS = [KeyAlgorithm.RSA_2048, KeyAlgorithm.P256, KeyAlgorithm.P384]


def request_for(
    signer: pki.Signer, *, message: bytes = MESSAGE, info: TokenInfo = INFO
) -> SigningRequest:
    public_key = signer.certificate.public_key().public_bytes(
        Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    )
    key = KeyInfo(1, signer.algorithm, KeyUsage.DISPLAY, b"\x01", "signing", public_key)
    certificates = [Certificate(1, b"\x01", "signing", signer.der)]
    return SigningRequest(
        parse_message(message),
        PrivateKey(key, always_authenticate=True),
        certificates,
        info,
    )


def signed_by(
    signer: pki.Signer, *, message: bytes = MESSAGE, receipt: Receipt = RECEIPT
) -> Signed:
    attributes = signed_attributes(message, signer.der, receipt, signer.algorithm.hash)
    return Signed(attributes, signer.raw(attributes))


def refused(request: SigningRequest, signed: Signed) -> str:
    with pytest.raises(SignatureMismatch) as refusal:
        request.complete(RECEIPT.request_id, signed)
    return str(refusal.value)


SIGNER = pki.Signer.issued()


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_signature_that_was_asked_for_is_handed_out(algorithm: KeyAlgorithm) -> None:
    signer = pki.Signer.issued(algorithm)
    signature = request_for(signer).complete(RECEIPT.request_id, signed_by(signer))
    assert signature.message == MESSAGE
    assert signature.transaction == payment()
    assert signature.receipt == RECEIPT
    assert signature.certificate.der == signer.der
    parsed = parse_signed_data(signature.der)
    assert parsed.message == MESSAGE
    assert parsed.display == RECEIPT


@pytest.mark.parametrize("algorithm", [KeyAlgorithm.RSA_2048, KeyAlgorithm.P256])
def test_no_changed_byte_gets_through(algorithm: KeyAlgorithm) -> None:
    signer = pki.Signer.issued(algorithm)
    request, good = request_for(signer), signed_by(signer)
    for part in ("signed", "signature"):
        whole = getattr(good, part)
        for position in range(len(whole)):
            changed = bytearray(whole)
            changed[position] ^= 0x01
            refused(request, replace(good, **{part: bytes(changed)}))


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ({"request_id": b"\xff" * 8}, "another request"),
        ({"serial": "US99999999"}, "another token"),
        ({"virtual": True}, "another kind of token"),
        ({"columns": 20}, "another screen"),
        ({"banner": "虚拟"}, "another screen"),
        ({"pages_digest": bytes(32)}, "other pages"),
    ],
)
def test_a_receipt_that_tells_something_else_is_refused(
    change: dict[str, object], difference: str
) -> None:
    receipt = replace(RECEIPT, **change)  # type: ignore[arg-type]
    assert difference in refused(request_for(SIGNER), signed_by(SIGNER, receipt=receipt))


def test_a_signature_of_another_message_is_refused() -> None:
    other = write_message(payment(amount="9999.99"))
    receipt = replace(pki.receipt_for(other), request_id=RECEIPT.request_id)
    assert "other pages" in refused(
        request_for(SIGNER), signed_by(SIGNER, message=other, receipt=receipt)
    )
    # The same pages, as the challenge is not shown: the message's digest differs still.
    hidden = MESSAGE.replace(b"9f3c5b8e21d74a06", b"9f3c5b8e21d74a07")
    assert "another message" in refused(request_for(SIGNER), signed_by(SIGNER, message=hidden))


def test_a_signature_by_another_certificate_is_refused() -> None:
    other = pki.Signer.issued(subject="王五")
    assert "another certificate" in refused(request_for(SIGNER), signed_by(other))


def test_the_certificate_that_the_token_used_is_the_one_handed_out() -> None:
    renewed = pki.Signer.issued()
    request = request_for(SIGNER)
    both = replace(
        request, certificates=[*request.certificates, Certificate(2, b"\x01", "new", renewed.der)]
    )
    signature = both.complete(RECEIPT.request_id, signed_by(renewed))
    assert signature.certificate.label == "new"


def test_a_signature_by_another_key_is_refused() -> None:
    thief = replace(SIGNER, key=pki.private_key(KeyAlgorithm.P256, "thief"))
    assert "does not verify" in refused(request_for(SIGNER), signed_by(thief))


@pytest.mark.parametrize("signed", [b"", b"\x31\x00", b"\x30\x80", b"\x31\x02\x30\x00", b"<T>"])
def test_what_is_no_set_of_attributes_is_refused(signed: bytes) -> None:
    refused(request_for(SIGNER), Signed(signed, SIGNER.raw(signed)))


def test_attributes_without_a_receipt_have_none_to_read() -> None:
    with pytest.raises(SignatureMismatch, match="no receipt"):
        read_receipt(b"\x31\x00")


def test_a_screen_that_could_not_have_shown_it_is_told() -> None:
    signed = signed_by(SIGNER)
    for screen in (
        None,
        ScreenInfo(4, 16, "klingon"),
        ScreenInfo(4, 16, "ascii"),
        ScreenInfo(1, 1, "gbk"),
    ):
        request = request_for(SIGNER, info=replace(INFO, screen=screen))
        assert "shown" in refused(request, signed)


def test_a_certificate_that_cannot_be_used_verifies_nothing() -> None:
    with pytest.raises(SignatureMismatch, match="cannot be used"):
        check_signature(b"\x30\x00", b"", b"", HashAlgorithm.SHA256)
