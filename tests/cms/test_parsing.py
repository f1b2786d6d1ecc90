"""Each deviation from the one form of a signature is refused, and named."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from typing import Any

import pytest
from asn1crypto import algos, cms, core, x509
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.cms.changes import (
    Change,
    changed,
    in_ber,
    signer_changed,
    with_indefinite_length,
    with_members,
)
from tests.pki import Signer, authority, der, receipt_for
from tests.transaction.strategies import TRANSFER
from ushield.cms import (
    MAX_SIGNED_DATA,
    BlindStatement,
    SignedDataFault,
    SignedDataInvalid,
    oids,
    parse_signed_data,
    signed_attributes,
)
from ushield.cms import der as writer
from ushield.transaction import write_message

MESSAGE = write_message(TRANSFER)
SIGNER = Signer.issued()
GOOD = SIGNER.sign(MESSAGE)
OTHER = x509.Certificate.load(der(authority()))


def _fault(data: bytes) -> SignedDataFault:
    with pytest.raises(SignedDataInvalid) as caught:
        parse_signed_data(data)
    return caught.value.fault


def test_encoding_it_again_by_asn1crypto_changes_nothing() -> None:
    assert changed(GOOD, lambda signed_data: None) == GOOD


def _identified_by(octets: int) -> tuple[bytes, bytes]:
    """A signature with an attribute, and a ContentInfo, of an identifier with so many octets."""
    identifier = writer.tagged(0x06, b"\x55" + b"\xff" * (octets - 2) + b"\x01")
    attribute = writer.sequence(identifier, writer.set_of(writer.null()))
    return (
        SIGNER.sign_attributes(MESSAGE, writer.set_of(attribute)),
        writer.sequence(identifier, writer.tagged(0xA0, writer.null())),
    )


def test_an_endless_object_identifier_is_not_read_at_all() -> None:
    attribute, content = _identified_by(63)
    assert _fault(attribute) is SignedDataFault.ATTRIBUTE_UNKNOWN
    assert _fault(content) is SignedDataFault.NOT_SIGNED_DATA
    for octets in (64, 1000, 30000):
        for data in _identified_by(octets):
            assert _fault(data) is SignedDataFault.NOT_DER


def _sign_twice(signed_data: Any) -> None:
    signer = signed_data["signer_infos"][0]
    signed_data["signer_infos"] = cms.SignerInfos([signer, signer.copy()])


def _drop_signer(signed_data: Any) -> None:
    signed_data["signer_infos"] = cms.SignerInfos([])


def _detach(signed_data: Any) -> None:
    signed_data["encap_content_info"] = {"content_type": "data"}


def _swap_content(signed_data: Any) -> None:
    signed_data["encap_content_info"]["content"] = b"other"


def _add_certificate(signed_data: Any) -> None:
    signed_data["certificates"].append(cms.CertificateChoices("certificate", OTHER))


def _swap_certificate(signed_data: Any) -> None:
    signed_data["certificates"][0] = cms.CertificateChoices("certificate", OTHER)


def _drop_certificates(signed_data: Any) -> None:
    del signed_data["certificates"]


def _add_digest_algorithm(signed_data: Any) -> None:
    signed_data["digest_algorithms"].append(algos.DigestAlgorithm({"algorithm": "sha512"}))


def _other_version(signed_data: Any) -> None:
    signed_data["version"] = "v3"


def _empty_revocations(signed_data: Any) -> None:
    signed_data["crls"] = cms.RevocationInfoChoices([])


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (_sign_twice, SignedDataFault.SEVERAL_SIGNERS),
        (_drop_signer, SignedDataFault.NO_SIGNER),
        (_detach, SignedDataFault.CONTENT_MISSING),
        (_swap_content, SignedDataFault.DIGEST_MISMATCH),
        (_add_certificate, SignedDataFault.CERTIFICATE_MISMATCH),
        (_swap_certificate, SignedDataFault.CERTIFICATE_MISMATCH),
        (_drop_certificates, SignedDataFault.CERTIFICATE_MISMATCH),
        (_add_digest_algorithm, SignedDataFault.NOT_CANONICAL),
        (_other_version, SignedDataFault.NOT_CANONICAL),
        (_empty_revocations, SignedDataFault.NOT_CANONICAL),
    ],
)
def test_a_changed_signed_data_is_refused(change: Change, fault: SignedDataFault) -> None:
    assert _fault(changed(GOOD, change)) is fault


def _name_by_key(signer: Any) -> None:
    signer["sid"] = cms.SignerIdentifier("subject_key_identifier", b"1234")


def _name_another(signer: Any) -> None:
    serial = signer["sid"].chosen["serial_number"].native
    signer["sid"].chosen["serial_number"] = serial + 1


def _unsigned_attribute(signer: Any) -> None:
    signer["unsigned_attrs"] = cms.CMSAttributes(
        [cms.CMSAttribute({"type": "1.2.3.4", "values": [core.Integer(1)]})]
    )


def _digest_by_sha1(signer: Any) -> None:
    signer["digest_algorithm"] = {"algorithm": "sha1"}


def _sign_by_another_hash(signer: Any) -> None:
    signer["signature_algorithm"] = {"algorithm": "sha512_ecdsa"}


def _sign_by_pss(signer: Any) -> None:
    signer["signature_algorithm"] = {"algorithm": "rsassa_pss"}


def _digest_with_parameters(signer: Any) -> None:
    signer["digest_algorithm"]["parameters"] = core.Null()


def _no_signed_attributes(signer: Any) -> None:
    del signer["signed_attrs"]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (_name_by_key, SignedDataFault.CERTIFICATE_MISMATCH),
        (_name_another, SignedDataFault.CERTIFICATE_MISMATCH),
        (_unsigned_attribute, SignedDataFault.ATTRIBUTE_UNKNOWN),
        (_digest_by_sha1, SignedDataFault.ALGORITHM_REFUSED),
        (_sign_by_another_hash, SignedDataFault.ALGORITHM_REFUSED),
        (_sign_by_pss, SignedDataFault.ALGORITHM_REFUSED),
        (_digest_with_parameters, SignedDataFault.NOT_CANONICAL),
        (_no_signed_attributes, SignedDataFault.ATTRIBUTE_MISSING),
        (lambda signer: with_members(signer, version="v3"), SignedDataFault.NOT_CANONICAL),
    ],
)
def test_a_changed_signer_info_is_refused(change: Change, fault: SignedDataFault) -> None:
    assert _fault(signer_changed(GOOD, change)) is fault


RECEIPT = receipt_for(MESSAGE).encode()
GOOD_VALUES = {
    oids.CONTENT_TYPE: [writer.object_identifier(oids.DATA)],
    oids.MESSAGE_DIGEST: [writer.octet_string(hashlib.sha256(MESSAGE).digest())],
    oids.SIGNING_CERTIFICATE_V2: [
        writer.sequence(
            writer.sequence(
                writer.sequence(writer.octet_string(hashlib.sha256(SIGNER.der).digest()))
            )
        )
    ],
    oids.RECEIPT: [RECEIPT],
}


def _signed_with(
    values: dict[str, list[bytes]], *more: tuple[str, list[bytes]], is_sorted: bool = True
) -> bytes:
    """A signature by the right key over other attributes: only the parser can refuse it."""
    attributes = [
        writer.sequence(writer.object_identifier(oid), writer.set_of(*each))
        for oid, each in (*values.items(), *more)
    ]
    ordered = sorted(attributes) if is_sorted else sorted(attributes, reverse=True)
    return SIGNER.sign_attributes(MESSAGE, writer.tagged(0x31, *ordered))


def test_the_attributes_of_these_tests_are_right_when_unchanged() -> None:
    expected = signed_attributes(MESSAGE, SIGNER.der, receipt_for(MESSAGE), SIGNER.algorithm.hash)
    assert parse_signed_data(_signed_with(GOOD_VALUES)).signed_attributes == expected


@pytest.mark.parametrize("oid", GOOD_VALUES)
def test_each_attribute_must_be_there_once_with_one_value(oid: str) -> None:
    without = {each: values for each, values in GOOD_VALUES.items() if each != oid}
    twice = (oid, GOOD_VALUES[oid])
    assert _fault(_signed_with(without)) is SignedDataFault.ATTRIBUTE_MISSING
    assert _fault(_signed_with({**GOOD_VALUES, oid: []})) is SignedDataFault.ATTRIBUTE_MISSING
    assert _fault(_signed_with(GOOD_VALUES, twice)) is SignedDataFault.ATTRIBUTE_DUPLICATE
    two_values = {**GOOD_VALUES, oid: GOOD_VALUES[oid] * 2}
    assert _fault(_signed_with(two_values)) is SignedDataFault.ATTRIBUTE_DUPLICATE


BLIND = BlindStatement("1234", "PIV card", "piv").encode()
NOTHING_SHOWN = {oid: values for oid, values in GOOD_VALUES.items() if oid != oids.RECEIPT} | {
    oids.BLIND_STATEMENT: [BLIND]
}


def test_the_word_that_nothing_was_shown_stands_in_place_of_the_receipt() -> None:
    parsed = parse_signed_data(_signed_with(NOTHING_SHOWN))
    assert parsed.display == BlindStatement("1234", "PIV card", "piv")


def test_a_receipt_and_the_word_that_nothing_was_shown_are_too_much() -> None:
    both = _signed_with(GOOD_VALUES, (oids.BLIND_STATEMENT, [BLIND]))
    assert _fault(both) is SignedDataFault.ATTRIBUTE_DUPLICATE
    twice = _signed_with(NOTHING_SHOWN, (oids.BLIND_STATEMENT, [BLIND]))
    assert _fault(twice) is SignedDataFault.ATTRIBUTE_DUPLICATE


@pytest.mark.parametrize("value", [b"\x30\x00", in_ber(BLIND), RECEIPT])
def test_a_wrong_word_on_the_display_is_refused(value: bytes) -> None:
    wrong = _signed_with({**NOTHING_SHOWN, oids.BLIND_STATEMENT: [value]})
    assert _fault(wrong) is SignedDataFault.BLIND_STATEMENT_INVALID


def test_the_word_that_nothing_was_shown_is_no_receipt() -> None:
    assert _fault(_signed_with({**GOOD_VALUES, oids.RECEIPT: [BLIND]})) == "receipt-invalid"


SIGNING_TIME = ("1.2.840.113549.1.9.5", [b"\x17\x0d260601000000Z"])


def test_an_attribute_that_no_token_writes_is_refused() -> None:
    assert _fault(_signed_with(GOOD_VALUES, SIGNING_TIME)) is SignedDataFault.ATTRIBUTE_UNKNOWN


@pytest.mark.parametrize(
    ("oid", "value", "fault"),
    [
        (oids.CONTENT_TYPE, writer.object_identifier(oids.SIGNED_DATA), "not-canonical"),
        (oids.CONTENT_TYPE, b"\x05\x00", "not-der"),
        (oids.MESSAGE_DIGEST, writer.octet_string(bytes(32)), "digest-mismatch"),
        (oids.MESSAGE_DIGEST, writer.octet_string(b""), "digest-mismatch"),
        (oids.SIGNING_CERTIFICATE_V2, b"\x30\x02\x30\x00", "certificate-mismatch"),
        (
            oids.SIGNING_CERTIFICATE_V2,
            writer.sequence(writer.sequence(writer.sequence(writer.octet_string(bytes(32))))),
            "certificate-mismatch",
        ),
        (oids.RECEIPT, b"\x30\x00", "receipt-invalid"),
        (oids.RECEIPT, in_ber(RECEIPT), "receipt-invalid"),
        (oids.RECEIPT, RECEIPT[:-1] + b"\x01", "receipt-invalid"),
    ],
)
def test_a_wrong_value_of_an_attribute_is_refused(oid: str, value: bytes, fault: str) -> None:
    assert _fault(_signed_with({**GOOD_VALUES, oid: [value]})) == fault


def test_attributes_out_of_order_are_refused() -> None:
    unsorted = _signed_with(GOOD_VALUES, is_sorted=False)
    assert _fault(unsorted) is SignedDataFault.NOT_CANONICAL


@pytest.mark.parametrize(
    "data",
    [in_ber(GOOD), with_indefinite_length(GOOD), GOOD[:4] + in_ber(GOOD[4:])],
    ids=["length", "indefinite", "inner"],
)
def test_ber_is_refused(data: bytes) -> None:
    assert _fault(data) in (SignedDataFault.NOT_DER, SignedDataFault.NOT_CANONICAL)


def test_a_message_in_pieces_is_refused() -> None:
    octets = writer.octet_string(MESSAGE)
    half = len(MESSAGE) // 2
    pieces = writer.octet_string(MESSAGE[:half]) + writer.octet_string(MESSAGE[half:])
    start = GOOD.index(octets)
    # Only the OCTET STRING changes; the lengths around it grow by the same number of bytes.
    constructed = b"\x24\x80" + pieces + b"\0\0"
    grown = len(constructed) - len(octets)
    rebuilt = GOOD[:start] + constructed + GOOD[start + len(octets) :]
    for offset in _enclosing_lengths(GOOD, start):
        length = int.from_bytes(rebuilt[offset : offset + 2], "big") + grown
        rebuilt = rebuilt[:offset] + length.to_bytes(2, "big") + rebuilt[offset + 2 :]
    assert cms.ContentInfo.load(rebuilt)["content"]["encap_content_info"]["content"].native == (
        MESSAGE
    )
    assert _fault(rebuilt) is SignedDataFault.NOT_CANONICAL


def _enclosing_lengths(data: bytes, target: int) -> list[int]:
    """Where the two length octets of each element around ``target`` stand."""
    found = []
    at = 0
    while at < target:
        assert data[at + 1] in (0x82, 0x81) or data[at + 1] < 0x80
        wide = data[at + 1] == 0x82
        length = int.from_bytes(data[at + 2 : at + 4], "big") if wide else data[at + 1]
        end = at + (4 if wide else 2) + length
        if end > target:
            found.append(at + 2)
            at += 4
        else:
            at = end
    return found


def test_every_prefix_is_refused() -> None:
    for length in range(0, len(GOOD), 7):
        assert _fault(GOOD[:length]) is SignedDataFault.NOT_DER


def test_bytes_after_the_end_are_refused() -> None:
    assert _fault(GOOD + b"\0") is SignedDataFault.NOT_DER


def test_more_than_the_limit_is_refused_unread() -> None:
    assert _fault(GOOD + bytes(MAX_SIGNED_DATA)) is SignedDataFault.TOO_LARGE


def test_other_content_is_no_signed_data() -> None:
    data = cms.ContentInfo({"content_type": "data", "content": b"x"}).dump()
    assert _fault(data) is SignedDataFault.NOT_SIGNED_DATA


def test_content_that_is_not_plain_data_is_refused() -> None:
    digested = writer.object_identifier("1.2.840.113549.1.7.5")
    data = GOOD.replace(writer.object_identifier(oids.DATA), digested, 1)
    assert _fault(data) is SignedDataFault.NOT_SIGNED_DATA


@pytest.mark.parametrize("serial_number", [0, -1, 1 << 160])
def test_a_certificate_with_a_serial_number_out_of_range_is_refused(serial_number: int) -> None:
    certificate = x509.Certificate.load(SIGNER.der)
    certificate["tbs_certificate"]["serial_number"] = serial_number
    encoded = certificate.dump(force=True)

    def swap(signed_data: Any) -> None:
        signed_data["certificates"][0] = cms.CertificateChoices("certificate", certificate)
        signed_data["signer_infos"][0]["sid"].chosen["serial_number"] = serial_number

    assert encoded in changed(GOOD, swap)
    assert _fault(changed(GOOD, swap)) is SignedDataFault.CERTIFICATE_INVALID


@given(st.binary(max_size=200))
def test_garbage_is_refused(data: bytes) -> None:
    with pytest.raises(SignedDataInvalid):
        parse_signed_data(data)


@given(st.data())
@settings(max_examples=200)
def test_bytes_put_in_taken_out_or_changed_are_refused_by_type(data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(GOOD)))
    size = data.draw(st.integers(0, 8))
    mutated = GOOD[:at] + data.draw(st.binary(max_size=8)) + GOOD[at + size :]
    try:
        parsed = parse_signed_data(mutated)
    except SignedDataInvalid:
        return
    # What can be read nonetheless is the receipt, under the signature, or the signature itself;
    # verifying it is the bank's next step.
    good = parse_signed_data(GOOD)
    assert (parsed.message, parsed.certificate) == (good.message, good.certificate)
    assert mutated == GOOD or (parsed.signed_attributes, parsed.signature) != (
        good.signed_attributes,
        good.signature,
    )


def test_importing_the_package_loads_no_asn1crypto() -> None:
    code = "import sys, ushield.cms; sys.exit('asn1crypto' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
