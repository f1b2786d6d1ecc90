"""Hostile encodings: the same signature in other bytes, more than was signed, or far too much.

Each test names the trick. The quick reader takes none of them, the other says why.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from asn1crypto import algos, cms, core
from asn1crypto import x509 as asn1x509

from tests.bank.corpus.bank import MESSAGE, RSA, SIGNER, STRANGER, counted, reason, refused
from tests.cms.changes import changed, in_ber, signer_changed, with_indefinite_length
from tests.pki import Signer, authority, der, receipt_for
from tests.transaction.strategies import TRANSFER
from ushield.bank import RejectionReason
from ushield.cms import MAX_SIGNED_DATA, Receipt, oids, signed_attributes
from ushield.cms import der as writer
from ushield.cms.recognition import read_identity, recognise
from ushield.transaction import write_message

RECEIPT = receipt_for(MESSAGE)
GOOD = SIGNER.sign(MESSAGE)


def _attributes(signer: Signer = SIGNER) -> list[Any]:
    encoded = signed_attributes(MESSAGE, signer.der, RECEIPT, signer.algorithm.hash)
    return list(cms.CMSAttributes.load(encoded))


def _signed_with(attributes: list[Any], *, in_order: bool = True) -> bytes:
    """Signed by the customer's own key over other attributes than a token writes."""
    encoded = [attribute.dump() for attribute in attributes]
    joined = sorted(encoded) if in_order else encoded
    return SIGNER.sign_attributes(MESSAGE, writer.tagged(0x31, *joined))


def _of(oid: str, attributes: list[Any]) -> Any:
    return next(each for each in attributes if each["type"].dotted == oid)


def _without(oid: str) -> list[Any]:
    return [each for each in _attributes() if each["type"].dotted != oid]


BER = {
    "a length in one octet too many": in_ber(GOOD),
    "an indefinite length": with_indefinite_length(GOOD),
    "a long length inside": GOOD[:4] + in_ber(GOOD[4:]),
    "bytes after the end": GOOD + b"\0",
    "an end of contents after the end": GOOD + b"\0\0",
    "cut short": GOOD[:-1],
}


@pytest.mark.parametrize("data", BER.values(), ids=BER.keys())
def test_the_same_in_ber(data: bytes) -> None:
    assert recognise(data, read_identity) is None
    assert refused(data) in (RejectionReason.NOT_DER, RejectionReason.NOT_CANONICAL)


def test_an_attribute_twice() -> None:
    for oid in (oids.CONTENT_TYPE, oids.MESSAGE_DIGEST, oids.SIGNING_CERTIFICATE_V2, oids.RECEIPT):
        twice = [*_attributes(), _of(oid, _attributes())]
        assert refused(_signed_with(twice)) is RejectionReason.ATTRIBUTE_DUPLICATE


def test_an_attribute_with_two_values() -> None:
    found = _attributes()
    values = _of(oids.MESSAGE_DIGEST, found)["values"]
    values.append(core.OctetString(bytes(32)))
    assert refused(_signed_with(found)) is RejectionReason.ATTRIBUTE_DUPLICATE


def test_the_receipt_missing() -> None:
    assert refused(_signed_with(_without(oids.RECEIPT))) is RejectionReason.ATTRIBUTE_MISSING


def test_the_signing_certificate_missing() -> None:
    data = _signed_with(_without(oids.SIGNING_CERTIFICATE_V2))
    assert refused(data) is RejectionReason.ATTRIBUTE_MISSING


def test_no_signed_attributes_at_all() -> None:
    # The signature is then over the message itself, and says nothing of a token.
    def bare(signer: Any) -> None:
        signer["signed_attrs"] = None
        signer["signature"] = SIGNER.raw(MESSAGE)

    assert refused(signer_changed(GOOD, bare)) is RejectionReason.ATTRIBUTE_MISSING


def test_attributes_out_of_order() -> None:
    backwards = sorted(_attributes(), key=lambda each: each.dump(), reverse=True)
    data = _signed_with(backwards, in_order=False)
    assert refused(data) is RejectionReason.NOT_CANONICAL


def test_an_unsigned_attribute() -> None:
    def add(signer: Any) -> None:
        signer["unsigned_attrs"] = cms.CMSAttributes([_attributes()[0]])

    assert refused(signer_changed(GOOD, add)) is RejectionReason.ATTRIBUTE_UNKNOWN


def test_a_receipt_as_an_unsigned_attribute() -> None:
    def add(signer: Any) -> None:
        signer["unsigned_attrs"] = cms.CMSAttributes([_of(oids.RECEIPT, _attributes())])

    bare = _signed_with(_without(oids.RECEIPT))
    assert refused(signer_changed(bare, add)) in (
        RejectionReason.ATTRIBUTE_MISSING,
        RejectionReason.ATTRIBUTE_UNKNOWN,
    )


def test_two_signers() -> None:
    def add(signed_data: Any) -> None:
        other = cms.ContentInfo.load(RSA.sign(MESSAGE))["content"]
        signed_data["signer_infos"].append(other["signer_infos"][0])
        signed_data["certificates"].append(other["certificates"][0])

    assert refused(changed(GOOD, add)) is RejectionReason.SEVERAL_SIGNERS


def test_the_same_signer_twice() -> None:
    def add(signed_data: Any) -> None:
        signer = signed_data["signer_infos"][0]
        signed_data["signer_infos"] = cms.SignerInfos([signer, signer.copy()])

    assert refused(changed(GOOD, add)) is RejectionReason.SEVERAL_SIGNERS


def test_nobody_signed() -> None:
    def drop(signed_data: Any) -> None:
        signed_data["signer_infos"] = cms.SignerInfos([])

    assert refused(changed(GOOD, drop)) is RejectionReason.NO_SIGNER


def test_the_digest_of_another_message() -> None:
    other = write_message(dataclasses.replace(TRANSFER, memo="别的"))
    attributes = signed_attributes(MESSAGE, SIGNER.der, RECEIPT, SIGNER.algorithm.hash)
    data = SIGNER.sign_attributes(other, attributes)
    assert refused(data) is RejectionReason.DIGEST_MISMATCH


def test_the_digest_by_another_hash_than_is_named() -> None:
    def rename(signer: Any) -> None:
        signer["digest_algorithm"] = algos.DigestAlgorithm({"algorithm": "sha384"})

    assert refused(signer_changed(GOOD, rename)) in (
        RejectionReason.ALGORITHM_REFUSED,
        RejectionReason.DIGEST_MISMATCH,
    )


def test_a_signer_named_by_its_key_identifier() -> None:
    def rename(signer: Any) -> None:
        identifier = cms.SignerIdentifier("subject_key_identifier", core.OctetString(bytes(20)))
        signer["sid"] = identifier
        signer["version"] = "v3"

    assert refused(signer_changed(GOOD, rename)) is RejectionReason.CERTIFICATE_MISMATCH


def test_a_signer_named_by_another_serial_number() -> None:
    def rename(signer: Any) -> None:
        signer["sid"].chosen["serial_number"] = 5

    assert refused(signer_changed(GOOD, rename)) is RejectionReason.CERTIFICATE_MISMATCH


ALGORITHMS = {
    "RSA named, ECDSA signed": {"algorithm": "rsassa_pkcs1v15"},
    "ECDSA with SHA-1": {"algorithm": "sha1_ecdsa"},
    "ECDSA with another hash": {"algorithm": "sha512_ecdsa"},
    "DSA": {"algorithm": "sha256_dsa"},
    "PSS with parameters": {
        "algorithm": "rsassa_pss",
        "parameters": algos.RSASSAPSSParams({"salt_length": 32}),
    },
    "SHA-1 with RSA": {"algorithm": "sha1_rsa"},
    "Ed25519": {"algorithm": "ed25519"},
}


@pytest.mark.parametrize("algorithm", ALGORITHMS.values(), ids=ALGORITHMS.keys())
def test_an_algorithm_confused(algorithm: dict[str, Any]) -> None:
    def rename(signer: Any) -> None:
        signer["signature_algorithm"] = algos.SignedDigestAlgorithm(algorithm)

    found = refused(signer_changed(GOOD, rename))
    assert found in (RejectionReason.ALGORITHM_REFUSED, RejectionReason.NOT_CANONICAL)


def test_an_rsa_signature_named_ecdsa() -> None:
    def rename(signer: Any) -> None:
        signer["signature_algorithm"] = algos.SignedDigestAlgorithm({"algorithm": "sha256_ecdsa"})

    found = refused(signer_changed(RSA.sign(MESSAGE), rename))
    assert found is RejectionReason.ALGORITHM_REFUSED


def test_parameters_where_none_belong() -> None:
    def add(signer: Any) -> None:
        signer["digest_algorithm"] = algos.DigestAlgorithm(
            {"algorithm": "sha256", "parameters": core.Null()}
        )

    assert refused(signer_changed(GOOD, add)) is RejectionReason.NOT_CANONICAL


def test_sha_1_as_digest() -> None:
    def rename(signer: Any) -> None:
        signer["digest_algorithm"] = algos.DigestAlgorithm({"algorithm": "sha1"})

    assert refused(signer_changed(GOOD, rename)) is RejectionReason.ALGORITHM_REFUSED


def test_the_certificate_of_a_stranger_beside_the_signers() -> None:
    def add(signed_data: Any) -> None:
        other = asn1x509.Certificate.load(STRANGER.der)
        signed_data["certificates"].append(cms.CertificateChoices("certificate", other))

    assert refused(changed(GOOD, add)) is RejectionReason.CERTIFICATE_MISMATCH


def test_a_missing_intermediate_brought_along_by_the_message() -> None:
    # A certificate that came with a signature is never an issuer.
    below = Signer.issued(issuer="Smuggled CA")
    smuggled = asn1x509.Certificate.load(der(authority("Smuggled CA", "Test Bank CA")))
    data = below.sign(MESSAGE)
    assert refused(data) is RejectionReason.ISSUER_UNKNOWN

    def add(signed_data: Any) -> None:
        signed_data["certificates"].append(cms.CertificateChoices("certificate", smuggled))

    assert refused(changed(data, add)) is RejectionReason.CERTIFICATE_MISMATCH


def test_another_certificate_of_the_same_key() -> None:
    # Signed for one certificate and presented with another: the attributes name the first.
    renewed = dataclasses.replace(SIGNER, certificate=Signer.issued().certificate)
    attributes = signed_attributes(MESSAGE, SIGNER.der, RECEIPT, SIGNER.algorithm.hash)
    data = renewed.sign_attributes(MESSAGE, attributes)
    assert refused(data) is RejectionReason.CERTIFICATE_MISMATCH


def _virtual(receipt: Receipt) -> Receipt:
    return dataclasses.replace(receipt, virtual=True)


RECEIPTS: dict[str, tuple[Callable[[bytes], bytes], RejectionReason]] = {
    "a byte more": (lambda data: data + b"\0", RejectionReason.NOT_DER),
    "in BER": (in_ber, RejectionReason.RECEIPT_INVALID),
    "true as 01": (lambda data: data[:-1] + b"\x01", RejectionReason.RECEIPT_INVALID),
    "version 2": (
        lambda data: data.replace(b"\x02\x01\x01", b"\x02\x01\x02", 1),
        RejectionReason.RECEIPT_INVALID,
    ),
    "a counter of zero": (
        lambda data: data.replace(b"\x02\x01\x07", b"\x02\x01\x00", 1),
        RejectionReason.RECEIPT_INVALID,
    ),
    "a negative counter": (
        lambda data: data.replace(b"\x02\x01\x07", b"\x02\x01\x80", 1),
        RejectionReason.RECEIPT_INVALID,
    ),
}


@pytest.mark.parametrize(("change", "expected"), RECEIPTS.values(), ids=RECEIPTS.keys())
def test_a_receipt_that_no_token_writes(
    change: Callable[[bytes], bytes], expected: RejectionReason
) -> None:
    value = change(RECEIPT.encode())
    receipt = writer.sequence(writer.object_identifier(oids.RECEIPT), writer.set_of(value))
    others = [each.dump() for each in _without(oids.RECEIPT)]
    data = SIGNER.sign_attributes(MESSAGE, writer.set_of(*others, receipt))
    assert recognise(data, read_identity) is None
    assert refused(data) is expected


def test_megabytes_of_certificates_are_not_read_at_all() -> None:
    junk = SIGNER.der * 4000
    data = GOOD.replace(SIGNER.der, junk, 1)
    assert len(data) > 1 << 20
    steps = counted(lambda: refused(data))
    assert steps.reason is RejectionReason.TOO_LARGE
    assert steps.calls < 50


@pytest.mark.parametrize(
    "element", [b"\x05\x00", b"\x30\x00", b"\x02\x01\x00", b"\x06\x01\x00"], ids=bytes.hex
)
def test_a_set_of_a_hundred_thousand_elements_is_not_read_at_all(element: bytes) -> None:
    data = writer.sequence(
        writer.object_identifier(oids.SIGNED_DATA),
        writer.tagged(0xA0, writer.sequence(writer.integer(1), writer.set_of(element * 100_000))),
    )
    steps = counted(lambda: refused(data))
    assert steps.reason is RejectionReason.TOO_LARGE
    assert steps.calls < 50


@pytest.mark.parametrize("where", ["digests", "signers", "certificates", "attributes"])
def test_as_many_elements_as_fit_cost_bounded_work(where: str) -> None:
    element = b"\x30\x00"
    room = (MAX_SIGNED_DATA - len(GOOD) - 64) // 2
    many = element * room
    if where == "attributes":
        data = SIGNER.sign_attributes(MESSAGE, writer.tagged(0x31, many))
    else:
        parts = {
            "digests": writer.tagged(0x31, many) if where == "digests" else b"\x31\x00",
            "certificates": writer.tagged(0xA0, many) if where == "certificates" else b"",
            "signers": writer.tagged(0x31, many) if where == "signers" else b"\x31\x00",
        }
        content = writer.sequence(
            writer.object_identifier(oids.DATA), writer.tagged(0xA0, writer.octet_string(MESSAGE))
        )
        data = writer.sequence(
            writer.object_identifier(oids.SIGNED_DATA),
            writer.tagged(
                0xA0,
                writer.sequence(
                    writer.integer(1),
                    parts["digests"],
                    content,
                    parts["certificates"],
                    parts["signers"],
                ),
            ),
        )
    assert len(data) <= MAX_SIGNED_DATA
    steps = counted(lambda: refused(data))
    assert steps.reason is RejectionReason.NOT_DER
    assert steps.calls < 60_000


def test_elements_nested_as_deep_as_fits_cost_bounded_work() -> None:
    data = b""
    while len(data) < MAX_SIGNED_DATA - 8:
        data = writer.tagged(0x30, data)
    steps = counted(lambda: refused(data))
    assert steps.reason is RejectionReason.NOT_DER
    assert steps.calls < 60_000


def test_an_object_identifier_as_long_as_fits() -> None:
    data = writer.sequence(writer.tagged(0x06, b"\x2a" + b"\xff" * 30000 + b"\x01"))
    steps = counted(lambda: refused(data))
    assert steps.reason is RejectionReason.NOT_DER
    assert steps.calls < 5_000


def test_good_signatures_are_good() -> None:
    assert reason(GOOD) is None
    assert reason(RSA.sign(MESSAGE)) is None
    virtual = SIGNER.sign(MESSAGE, _virtual(RECEIPT))
    assert reason(virtual) is RejectionReason.VIRTUAL_TOKEN
