"""Two ways of reading a signature, which must never differ: the quick one and asn1crypto's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from asn1crypto import x509 as asn1x509
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.pki import SIGNING, Signer, receipt_for
from tests.transaction.strategies import DRAWABLE, TRANSFER, transactions
from ushield.algorithms import HashAlgorithm, KeyAlgorithm
from ushield.cms import ParsedSignature, SignedDataFault, SignedDataInvalid, parse_signed_data
from ushield.cms.parsing import examine
from ushield.cms.recognition import read_certificate, read_identity, recognise
from ushield.transaction import Screen, Transaction, write_message

MESSAGE = write_message(TRANSFER)
SIGNERS = {
    algorithm: Signer.issued(algorithm)
    for algorithm in (KeyAlgorithm.RSA_2048, KeyAlgorithm.P256, KeyAlgorithm.P384)
}
GOOD = [signer.sign(MESSAGE) for signer in SIGNERS.values()]


@given(st.sampled_from(list(SIGNERS.values())), transactions(DRAWABLE))
@settings(max_examples=60)
def test_every_signature_is_recognised_and_both_readers_agree_on_every_field(
    signer: Signer, transaction: Transaction
) -> None:
    message = write_message(transaction)
    receipt = receipt_for(message, Screen(max_pages=99))
    data = signer.sign(message, receipt)
    parsed = recognise(data, read_identity)
    assert parsed is not None
    assert parsed == examine(data) == parse_signed_data(data)


@pytest.mark.parametrize("good", GOOD, ids=SIGNERS)
def test_a_third_reader_agrees(good: bytes) -> None:
    reader = pytest.importorskip(
        "tests.cms.rust_reader",
        reason="needs cryptography 47: pip install 'cryptography>=47'",
        exc_type=ImportError,
    )
    parsed = parse_signed_data(good)
    assert reader.read(good) == (
        parsed.message,
        parsed.certificate,
        parsed.signature,
        parsed.signed_attributes,
    )


def _examined(data: bytes) -> ParsedSignature | None:
    try:
        return examine(data)
    except SignedDataInvalid:
        return None


def _agree(data: bytes) -> None:
    recognised = recognise(data, read_identity)
    if recognised is not None:
        assert recognised == _examined(data)
    else:
        # asn1crypto may take what cryptography cannot read as a certificate; trust refuses that.
        examined = _examined(data)
        if examined is not None:
            with pytest.raises(ValueError):  # noqa: PT011
                read_identity(examined.certificate)


@given(st.data())
@settings(max_examples=400)
def test_they_agree_on_mutations(data: st.DataObject) -> None:
    good = data.draw(st.sampled_from(GOOD))
    at = data.draw(st.integers(0, len(good)))
    size = data.draw(st.integers(0, 6))
    _agree(good[:at] + data.draw(st.binary(max_size=6)) + good[at + size :])


@pytest.mark.parametrize("good", GOOD, ids=SIGNERS)
def test_they_agree_on_every_byte_changed(good: bytes) -> None:
    for place in range(len(good)):
        for mask in (0x01, 0x80):
            changed = bytearray(good)
            changed[place] ^= mask
            recognised = recognise(bytes(changed), read_identity)
            # What is recognised nonetheless differs in the receipt or the signature alone; its
            # signature is the bank's next step. Anything else is left to the other reader.
            if recognised is not None:
                assert recognised == _examined(bytes(changed))
                assert recognised.message == MESSAGE


@given(st.sampled_from(GOOD), st.data())
@settings(max_examples=60)
def test_a_length_that_lies_is_not_recognised(good: bytes, data: st.DataObject) -> None:
    changed = bytearray(good)
    at = data.draw(st.sampled_from([n for n in range(len(good) - 3) if good[n + 1] == 0x82]))
    changed[at + 2 : at + 4] = data.draw(st.binary(min_size=2, max_size=2))
    if changed != good:
        _agree(bytes(changed))


@pytest.mark.parametrize("algorithm", SIGNERS)
def test_the_identity_is_the_one_asn1crypto_reads(algorithm: KeyAlgorithm) -> None:
    encoded = SIGNERS[algorithm].der
    signed = asn1x509.Certificate.load(encoded)["tbs_certificate"]
    identity, loaded = read_certificate(encoded)
    assert identity.issuer_and_serial[4 if identity.issuer_and_serial[1] == 0x82 else 2 :] == (
        signed["issuer"].dump() + signed["serial_number"].dump()
    )
    assert loaded == SIGNERS[algorithm].certificate


@pytest.mark.parametrize(
    "garble",
    [
        lambda der: b"",
        lambda der: der[:-1],
        lambda der: der + b"\0",
        lambda der: b"\x30\x84\0\0" + der[2:],
        lambda der: der.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x07"),
    ],
    ids=["empty", "short", "long", "long form", "version 8"],
)
def test_what_is_no_certificate_has_no_identity(garble: Callable[[bytes], bytes]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        read_identity(garble(SIGNERS[KeyAlgorithm.P256].der))


def test_what_is_known_of_a_certificate_is_not_read_again() -> None:
    signer = SIGNERS[KeyAlgorithm.P256]
    asked: list[bytes] = []

    def known(certificate: bytes) -> Any:
        asked.append(certificate)
        return read_identity(signer.der)

    assert parse_signed_data(signer.sign(MESSAGE), known).certificate == signer.der
    assert asked == [signer.der]


def test_the_identity_of_another_certificate_is_noticed() -> None:
    other = Signer.issued(KeyAlgorithm.P256, subject="王五", usage=SIGNING)
    with pytest.raises(SignedDataInvalid) as caught:
        parse_signed_data(
            SIGNERS[KeyAlgorithm.P256].sign(MESSAGE).replace(b"\xa0\x82", b"\xa0\x83", 1),
            lambda certificate: read_identity(other.der),
        )
    assert caught.value.fault is SignedDataFault.NOT_DER
    assert recognise(GOOD[1], lambda certificate: read_identity(other.der)) is None


def test_every_hash_of_a_token_is_recognised() -> None:
    assert {parse_signed_data(good).hash_algorithm for good in GOOD} == {
        HashAlgorithm.SHA256,
        HashAlgorithm.SHA384,
    }
