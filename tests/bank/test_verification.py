"""A signature is accepted whole, or refused with its reason."""

from __future__ import annotations

import dataclasses
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from asn1crypto import cms
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.cms.changes import changed, in_ber, with_indefinite_length
from tests.cms.test_ecdsa import P256_ORDER
from tests.openssl import needs_openssl
from tests.pki import NOW, YEAR, Signer, authority, authority_key, key_usage, pem, receipt_for
from tests.transaction.strategies import DRAWABLE, EXAMPLES, TRANSFER, transactions
from ushield.algorithms import KeyAlgorithm
from ushield.bank import (
    RejectionReason,
    TransactionRejected,
    TrustStore,
    verify_transaction,
)
from ushield.cms import ParsedSignature, parse_signed_data, signed_attributes
from ushield.transaction import (
    Repertoire,
    Screen,
    Transaction,
    lay_out,
    parse_message,
    write_message,
)

MESSAGE = write_message(TRANSFER)
RECEIPT = receipt_for(MESSAGE)
TRUST = TrustStore.load(pem(authority()))
P256 = Signer.issued(KeyAlgorithm.P256)
RSA = Signer.issued(KeyAlgorithm.RSA_2048)
SIGNATURES = {"p256": P256.sign(MESSAGE), "rsa2048": RSA.sign(MESSAGE)}


def _reason(signature: bytes, at: datetime = NOW) -> RejectionReason:
    with pytest.raises(TransactionRejected) as caught:
        verify_transaction(signature, TRUST, at)
    assert caught.value.remedy
    return caught.value.reason


@pytest.mark.parametrize(
    "algorithm",
    [KeyAlgorithm.RSA_2048, KeyAlgorithm.RSA_3072, KeyAlgorithm.P256, KeyAlgorithm.P384],
)
def test_a_good_signature_says_what_was_signed_shown_and_by_whom(algorithm: KeyAlgorithm) -> None:
    signer = Signer.issued(algorithm)
    screen = Screen(banner="虚拟")
    receipt = receipt_for(MESSAGE, screen, virtual=True)
    signature = signer.sign(MESSAGE, receipt)
    assert _reason(signature) is RejectionReason.VIRTUAL_TOKEN
    verified = verify_transaction(signature, TRUST, NOW, accept_virtual=True)
    assert verified.transaction == TRANSFER
    assert verified.message == parse_message(MESSAGE)
    assert verified.pages == lay_out(verified.message.shown, screen)
    assert verified.receipt == receipt
    assert verified.certificate == signer.der
    assert verified.certificate_serial == signer.certificate.serial_number
    assert verified.path == ("CN=李四", "CN=Test Bank CA")
    assert verified.signer == "CN=李四"


@given(transactions(DRAWABLE), st.integers(4, 20), st.integers(16, 64))
@settings(max_examples=25)
def test_every_transaction_a_token_can_show_verifies(
    transaction: Transaction, lines: int, columns: int
) -> None:
    message = write_message(transaction)
    screen = Screen(lines=lines, columns=columns, max_pages=99)
    signature = P256.sign(message, receipt_for(message, screen))
    assert verify_transaction(signature, TRUST, NOW).transaction == transaction


@pytest.mark.parametrize("transaction", EXAMPLES, ids=lambda t: type(t).__name__)
def test_every_kind_verifies(transaction: Transaction) -> None:
    signature = P256.sign(write_message(transaction))
    assert verify_transaction(signature, TRUST, NOW).transaction == transaction


def test_the_time_of_verifying_is_now_unless_given() -> None:
    now = datetime.now(UTC)
    valid = Signer.issued(not_before=now - YEAR, not_after=now + YEAR).sign(MESSAGE)
    verify_transaction(valid, TRUST)
    lapsed = Signer.issued(not_before=now - 2 * YEAR, not_after=now - YEAR).sign(MESSAGE)
    with pytest.raises(TransactionRejected) as caught:
        verify_transaction(lapsed, TRUST)
    assert caught.value.reason is RejectionReason.CERTIFICATE_EXPIRED


@pytest.mark.parametrize("kind", SIGNATURES)
def test_a_signature_with_any_one_byte_changed_is_refused(kind: str) -> None:
    good = SIGNATURES[kind]
    verify_transaction(good, TRUST, NOW)
    for position in range(len(good)):
        for mask in (0x01, 0xFF):
            data = bytearray(good)
            data[position] ^= mask
            with pytest.raises(TransactionRejected):
                verify_transaction(bytes(data), TRUST, NOW)


@pytest.mark.parametrize("kind", SIGNATURES)
def test_a_signature_cut_short_or_with_a_byte_more_or_less_is_refused(kind: str) -> None:
    good = SIGNATURES[kind]
    for position in range(0, len(good), 5):
        for data in (
            good[:position],
            good[:position] + good[position + 1 :],
            good[:position] + b"\0" + good[position:],
        ):
            with pytest.raises(TransactionRejected):
                verify_transaction(data, TRUST, NOW)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", RejectionReason.NOT_DER),
        (b"\0" * 64, RejectionReason.NOT_DER),
        (b"-----BEGIN CMS-----\n", RejectionReason.NOT_DER),
        (b"\x30\x80" * 16000, RejectionReason.NOT_DER),
        (bytes(1 << 20), RejectionReason.TOO_LARGE),
    ],
    ids=["empty", "zeros", "pem", "nested", "huge"],
)
def test_what_is_no_signature_is_refused(data: bytes, reason: RejectionReason) -> None:
    assert _reason(data) is reason


@given(st.binary(max_size=300))
def test_garbage_is_refused(data: bytes) -> None:
    with pytest.raises(TransactionRejected):
        verify_transaction(data, TRUST, NOW)


@pytest.mark.parametrize("kind", SIGNATURES)
def test_ber_is_refused(kind: str) -> None:
    good = SIGNATURES[kind]
    for data in (in_ber(good), with_indefinite_length(good)):
        assert _reason(data) in (RejectionReason.NOT_DER, RejectionReason.NOT_CANONICAL)


def test_a_second_signer_is_refused() -> None:
    def add_signer(signed_data: Any) -> None:
        other = cms.ContentInfo.load(SIGNATURES["rsa2048"])["content"]
        signed_data["signer_infos"].append(other["signer_infos"][0])
        signed_data["certificates"].append(other["certificates"][0])

    assert _reason(changed(SIGNATURES["p256"], add_signer)) is RejectionReason.SEVERAL_SIGNERS


def test_the_other_form_of_an_ecdsa_signature_is_refused_though_it_verifies() -> None:
    data = P256.sign(MESSAGE)
    parsed = parse_signed_data(data)
    r, s = decode_dss_signature(parsed.signature)
    other = encode_dss_signature(r, P256_ORDER - s)
    public_key = P256.key.public_key()
    assert isinstance(public_key, ec.EllipticCurvePublicKey)
    public_key.verify(other, parsed.signed_attributes, ec.ECDSA(hashes.SHA256()))
    info = cms.ContentInfo.load(data)
    info["content"]["signer_infos"][0]["signature"] = other
    assert _reason(info.dump(force=True)) is RejectionReason.NOT_CANONICAL


def test_swapped_content_is_refused() -> None:
    other = write_message(dataclasses.replace(TRANSFER, memo="别的"))
    attributes = signed_attributes(MESSAGE, P256.der, RECEIPT, P256.algorithm.hash)
    swapped = P256.sign_attributes(other, attributes)
    assert _reason(swapped) is RejectionReason.DIGEST_MISMATCH


def test_attributes_of_another_signature_are_refused() -> None:
    other = write_message(dataclasses.replace(TRANSFER, memo="别的"))
    attributes = signed_attributes(other, P256.der, receipt_for(other), P256.algorithm.hash)
    stale = P256.raw(signed_attributes(MESSAGE, P256.der, RECEIPT, P256.algorithm.hash))
    signature = P256.assemble(other, attributes, stale)
    assert _reason(signature) is RejectionReason.SIGNATURE_INVALID


def test_the_certificate_of_another_signer_is_refused() -> None:
    attributes = signed_attributes(MESSAGE, RSA.der, RECEIPT, P256.algorithm.hash)
    signature = P256.assemble(MESSAGE, attributes, P256.raw(attributes), RSA.der)
    assert _reason(signature) is RejectionReason.ALGORITHM_REFUSED


def test_a_message_that_no_token_reads_is_refused() -> None:
    message = MESSAGE.replace(b"</D>", b"<!-- --></D>")
    assert _reason(P256.sign(message, RECEIPT)) is RejectionReason.MESSAGE_INVALID


@pytest.mark.parametrize(
    "change",
    [
        {"pages_digest": bytes(32)},
        {"lines": 5},
        {"columns": 18},
        {"banner": "虚拟"},
        {"repertoire": "ascii"},
    ],
)
def test_a_receipt_for_other_pages_is_refused(change: dict[str, Any]) -> None:
    receipt = dataclasses.replace(RECEIPT, **change)
    assert _reason(P256.sign(MESSAGE, receipt)) is RejectionReason.PAGES_MISMATCH


@pytest.mark.parametrize(
    "change", [{"repertoire": "unicode"}, {"columns": 2}, {"lines": 1}, {"banner": "\U00020bb7"}]
)
def test_a_receipt_from_a_screen_that_cannot_be_is_refused(change: dict[str, Any]) -> None:
    receipt = dataclasses.replace(RECEIPT, **change)
    assert _reason(P256.sign(MESSAGE, receipt)) is RejectionReason.RECEIPT_INVALID


def test_a_message_without_glyph_cannot_have_been_shown() -> None:
    message = write_message(dataclasses.replace(TRANSFER, memo="\U00020bb7"))
    receipt = dataclasses.replace(RECEIPT, repertoire=Repertoire.GBK)
    assert _reason(P256.sign(message, receipt)) is RejectionReason.PAGES_MISMATCH


@pytest.mark.parametrize(
    ("signer", "reason"),
    [
        ({"not_after": NOW - YEAR / 2}, RejectionReason.CERTIFICATE_EXPIRED),
        ({"not_before": NOW + YEAR / 2}, RejectionReason.CERTIFICATE_NOT_YET_VALID),
        ({"usage": key_usage("key_encipherment")}, RejectionReason.CERTIFICATE_USAGE),
        ({"issuer": "Another CA"}, RejectionReason.ISSUER_UNKNOWN),
    ],
)
def test_a_signer_that_is_not_trusted_is_refused(
    signer: dict[str, Any], reason: RejectionReason
) -> None:
    assert reason.is_trust
    assert _reason(Signer.issued(**signer).sign(MESSAGE)) is reason


def test_a_signature_by_the_ca_itself_is_refused() -> None:
    issuer = Signer(KeyAlgorithm.P256, authority_key("Test Bank CA"), authority())
    trust = TrustStore.load(pem(issuer.certificate))
    with pytest.raises(TransactionRejected) as caught:
        verify_transaction(issuer.sign(MESSAGE), trust, NOW)
    assert caught.value.reason is RejectionReason.CERTIFICATE_IS_CA


def test_a_changed_certificate_is_refused_even_if_its_key_signs_for_it() -> None:
    parsed = parse_signed_data(SIGNATURES["rsa2048"])
    issuer_signature = RSA.certificate.signature
    for position in range(len(RSA.der)):
        for mask in (0x01, 0xFF):
            certificate = bytearray(RSA.der)
            certificate[position] ^= mask
            try:
                verify_transaction(_spliced(parsed, bytes(certificate)), TRUST, NOW)
            except TransactionRejected:
                continue
            # All that the issuer did not sign: how many bits of its signature are padding.
            assert RSA.der[position:] == b"\0" + issuer_signature


def _spliced(parsed: ParsedSignature, certificate: bytes) -> bytes:
    """The signature over another certificate of the same length, even an unreadable one."""
    attributes = signed_attributes(MESSAGE, certificate, RECEIPT, parsed.hash_algorithm)
    return (
        SIGNATURES["rsa2048"]
        .replace(parsed.certificate, certificate)
        .replace(parsed.signed_attributes[1:], attributes[1:])
        .replace(parsed.signature, RSA.raw(attributes))
    )


@needs_openssl
def test_cms_from_other_software_is_no_signature_of_a_token(tmp_path: Path) -> None:
    (tmp_path / "message.xml").write_bytes(MESSAGE)
    (tmp_path / "signer.pem").write_bytes(pem(P256.certificate))
    (tmp_path / "key.pem").write_bytes(
        P256.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    command = (
        "openssl cms -sign -binary -nodetach -outform DER -in message.xml -signer signer.pem"
        " -inkey key.pem -out other.p7s"
    )
    subprocess.run(command.split(), cwd=tmp_path, check=True, capture_output=True)
    assert _reason((tmp_path / "other.p7s").read_bytes()) is RejectionReason.ATTRIBUTE_UNKNOWN
