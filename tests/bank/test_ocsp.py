"""A responder is believed if the issuer says so, about the certificate that was asked for."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.bank.revocations import DAY, HOUR, crl, ocsp_response
from tests.pki import NOW, Signer, authority, authority_key, certificate, key_usage, pem
from tests.transaction.strategies import TRANSFER
from ushield.bank import RejectionReason, TransactionRejected, TrustStore, Verifier
from ushield.bank.revocation import OcspQuery, RevocationIndex, RevocationInvalid
from ushield.transaction import write_message

MESSAGE = write_message(TRANSFER)
ROOT = authority()
TRUST = TrustStore.load(pem(ROOT))
SIGNER = Signer.issued()
GOOD = SIGNER.sign(MESSAGE)
SECOND = timedelta(seconds=1)
SIGNING_OCSP = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.OCSP_SIGNING])
REVOKED = ocsp.OCSPCertStatus.REVOKED


def _responder(**changes: Any) -> x509.Certificate:
    arguments: dict[str, Any] = {
        "issuer": "Test Bank CA",
        "usage": key_usage("digital_signature"),
        "extensions": [(SIGNING_OCSP, False), (x509.OCSPNoCheck(), False)],
    }
    arguments |= changes
    issuer = arguments.pop("issuer")
    return certificate(
        "Responder",
        issuer,
        authority_key("Responder").public_key(),
        authority_key(issuer),
        **arguments,
    )


def _index(data: bytes, nonce: bytes | None = None) -> RevocationIndex:
    index = RevocationIndex((ROOT,))
    index.add_ocsp(data, NOW, nonce=nonce)
    return index


def _reason(index: RevocationIndex, at: Any = NOW) -> RejectionReason:
    with pytest.raises(TransactionRejected) as caught:
        Verifier(TRUST, revocation=index).verify(GOOD, at)
    return caught.value.reason


def test_the_issuers_word_that_it_is_good_is_enough_for_its_time() -> None:
    index = _index(ocsp_response(SIGNER.certificate))
    Verifier(TRUST, revocation=index).verify(GOOD, NOW)
    assert _reason(index, NOW + HOUR) is RejectionReason.REVOCATION_STALE


def test_a_responder_that_the_issuer_certified_is_believed() -> None:
    response = ocsp_response(
        SIGNER.certificate, responder=_responder(), key=authority_key("Responder")
    )
    Verifier(TRUST, revocation=_index(response)).verify(GOOD, NOW)


@pytest.mark.parametrize(
    "changes",
    [
        {"issuer": "Another CA"},
        {"extensions": [(x509.OCSPNoCheck(), False)]},
        {"extensions": [(SIGNING_OCSP, False)]},
        {
            "extensions": [
                (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False),
                (x509.OCSPNoCheck(), False),
            ]
        },
        {"usage": key_usage("key_encipherment")},
        {"not_after": NOW - SECOND},
        {"not_before": NOW + SECOND},
    ],
    ids=["issuer", "no purpose", "to be asked about", "purpose", "usage", "expired", "early"],
)
def test_another_responder_is_not_believed(changes: dict[str, Any]) -> None:
    response = ocsp_response(
        SIGNER.certificate, responder=_responder(**changes), key=authority_key("Responder")
    )
    with pytest.raises(RevocationInvalid, match="neither by the issuer"):
        _index(response)


def test_a_customer_is_no_responder() -> None:
    response = ocsp_response(SIGNER.certificate, responder=SIGNER.certificate, key=SIGNER.key)
    with pytest.raises(RevocationInvalid, match="neither by the issuer"):
        _index(response)


@pytest.mark.parametrize(("since", "accepted"), [(NOW, False), (NOW + SECOND, True)])
def test_a_revoked_certificate_is_refused_from_then_on(since: Any, accepted: bool) -> None:
    index = _index(ocsp_response(SIGNER.certificate, status=REVOKED, since=since, this_update=NOW))
    if accepted:
        Verifier(TRUST, revocation=index).verify(GOOD, NOW)
    else:
        assert _reason(index) is RejectionReason.CERTIFICATE_REVOKED


def test_what_the_responder_does_not_know_is_not_known() -> None:
    index = _index(ocsp_response(SIGNER.certificate, status=ocsp.OCSPCertStatus.UNKNOWN))
    assert _reason(index) is RejectionReason.REVOCATION_UNKNOWN


def test_a_response_about_another_certificate_says_nothing_of_this_one() -> None:
    other = Signer.issued(subject="王五").certificate
    assert _reason(_index(ocsp_response(other))) is RejectionReason.REVOCATION_UNKNOWN


def test_a_response_about_another_issuers_certificate_is_refused() -> None:
    other = authority("Another CA")
    foreign = Signer.issued(issuer="Another CA").certificate
    response = ocsp_response(foreign, issuer=other, key=authority_key("Another CA"))
    with pytest.raises(RevocationInvalid, match="no trusted CA"):
        _index(response)


def test_a_list_and_a_response_complete_each_other() -> None:
    index = _index(ocsp_response(SIGNER.certificate))
    index.add_crl(crl(SIGNER.certificate), NOW)
    assert _reason(index) is RejectionReason.CERTIFICATE_REVOKED
    index = _index(ocsp_response(SIGNER.certificate, status=REVOKED, since=NOW - DAY))
    index.add_crl(crl(), NOW)
    assert _reason(index) is RejectionReason.CERTIFICATE_REVOKED


def test_an_answer_has_the_nonce_of_its_query() -> None:
    query = OcspQuery.about(SIGNER.certificate, ROOT)
    asked = ocsp.load_der_ocsp_request(query.request)
    nonce = asked.extensions.get_extension_for_class(x509.OCSPNonce).value.nonce
    assert nonce == query.nonce
    assert asked.serial_number == SIGNER.certificate.serial_number
    _index(ocsp_response(SIGNER.certificate, nonce=nonce), nonce)
    with pytest.raises(RevocationInvalid, match="another query"):
        _index(ocsp_response(SIGNER.certificate, nonce=bytes(32)), nonce)
    with pytest.raises(RevocationInvalid, match="no nonce"):
        _index(ocsp_response(SIGNER.certificate), nonce)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"next_update": None}, "when the next one comes"),
        ({"this_update": NOW + HOUR, "next_update": NOW + DAY}, "from the future"),
    ],
)
def test_a_response_without_a_time_of_its_own_is_refused(
    changes: dict[str, Any], problem: str
) -> None:
    with pytest.raises(RevocationInvalid, match=problem):
        _index(ocsp_response(SIGNER.certificate, **changes))


def test_a_refusal_to_answer_is_no_answer() -> None:
    response = ocsp.OCSPResponseBuilder.build_unsuccessful(ocsp.OCSPResponseStatus.TRY_LATER)
    with pytest.raises(RevocationInvalid, match="try_later"):
        _index(response.public_bytes(Encoding.DER))


@pytest.mark.parametrize("data", [b"", b"\x30\x00", bytes(1 << 17)])
def test_what_is_no_response_is_refused(data: bytes) -> None:
    with pytest.raises(RevocationInvalid):
        _index(data)


def test_no_byte_of_a_response_can_be_changed() -> None:
    good = ocsp_response(SIGNER.certificate, status=REVOKED, since=NOW - DAY)
    expected = _index(good).view.statements
    for place in range(len(good)):
        changed = bytearray(good)
        changed[place] ^= 0x01
        try:
            found = _index(bytes(changed)).view.statements
        except RevocationInvalid:
            continue
        # What is not signed and not read: the responder's certificates, of which it has none.
        assert found == expected


def test_the_hash_of_the_certificate_id_may_be_another() -> None:
    builder = ocsp.OCSPResponseBuilder().add_response(
        SIGNER.certificate,
        ROOT,
        hashes.SHA256(),
        ocsp.OCSPCertStatus.GOOD,
        NOW - HOUR,
        NOW + HOUR,
        None,
        None,
    )
    builder = builder.responder_id(ocsp.OCSPResponderEncoding.HASH, ROOT)
    response = builder.sign(authority_key("Test Bank CA"), hashes.SHA256())
    index = _index(response.public_bytes(Encoding.DER))
    Verifier(TRUST, revocation=index).verify(GOOD, NOW)
