"""What may be wrong with a certificate is found before a bank refuses it."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests import pki
from ushield.algorithms import KeyAlgorithm
from ushield.drivers.base import KeyInfo, KeyUsage
from ushield.keystore import Certificate, Finding, FindingKind, Severity
from ushield.keystore.health import EXPIRING_SOON, check_health
from ushield.testing.token import VirtualTokenUnderTest

KEY_ID = b"\x07" * 20
PUBLIC_KEY = (
    pki.private_key(KeyAlgorithm.P256)
    .public_key()
    .public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
)
KEY = KeyInfo(1, KeyAlgorithm.P256, KeyUsage.DISPLAY, KEY_ID, "signing", PUBLIC_KEY)
DAY = timedelta(days=1)
ROOT = pki.authority("Test Root")
ISSUER = pki.authority("Test Bank CA", "Test Root")


def stored(certificate: x509.Certificate, key_id: bytes = KEY_ID) -> Certificate:
    return Certificate(1, key_id, "signing", pki.der(certificate))


def findings(
    certificate: x509.Certificate,
    *others: x509.Certificate,
    at: datetime = pki.NOW,
    keys: tuple[KeyInfo, ...] = (KEY,),
) -> tuple[Finding, ...]:
    chain = [stored(one, b"") for one in others]
    return check_health(stored(certificate), keys, chain, at=at)


def kinds(found: tuple[Finding, ...]) -> list[FindingKind]:
    return [finding.kind for finding in found]


LEAF = pki.Signer.issued().certificate
WHOLE = (ISSUER, ROOT)


def test_nothing_is_wrong_with_a_good_certificate_and_its_chain() -> None:
    assert findings(LEAF, *WHOLE) == ()


def test_validity_is_told_by_the_time() -> None:
    begin, end = pki.NOW - pki.YEAR, pki.NOW + pki.YEAR

    def at(moment: datetime) -> list[FindingKind]:
        return kinds(findings(LEAF, *WHOLE, at=moment))

    assert at(begin - DAY) == [FindingKind.NOT_YET_VALID]
    assert at(begin) == []
    assert at(end - EXPIRING_SOON) == []
    assert at(end - EXPIRING_SOON + DAY) == [FindingKind.EXPIRING_SOON]
    assert at(end) == [FindingKind.EXPIRING_SOON]
    assert at(end + DAY) == [FindingKind.EXPIRED]


def test_the_days_that_are_left_are_named() -> None:
    (finding,) = findings(LEAF, *WHOLE, at=pki.NOW + pki.YEAR - 10 * DAY)
    assert "in 10 days" in finding.message
    assert finding.severity is Severity.WARNING
    assert "Renew" in finding.remedy


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (pki.key_usage("digital_signature"), []),
        (pki.key_usage("content_commitment"), []),
        (pki.key_usage("key_encipherment"), [FindingKind.KEY_USAGE]),
        (None, [FindingKind.KEY_USAGE]),
    ],
)
def test_key_usage_must_allow_signatures(
    usage: x509.KeyUsage | None, expected: list[FindingKind]
) -> None:
    assert kinds(findings(pki.Signer.issued(usage=usage).certificate, *WHOLE)) == expected


def test_an_authority_is_no_customer() -> None:
    leaf = pki.Signer.issued(usage=pki.CERTIFYING, constraints=pki.CA).certificate
    assert kinds(findings(leaf, *WHOLE)) == [FindingKind.IS_AUTHORITY]


def test_the_key_must_be_there_and_be_the_one() -> None:
    assert kinds(findings(LEAF, *WHOLE, keys=())) == [FindingKind.KEY_MISSING]
    other = pki.Signer.issued(KeyAlgorithm.P384).certificate
    assert kinds(findings(other, *WHOLE)) == [FindingKind.KEY_MISMATCH]


def test_a_chain_that_is_not_on_the_token_is_worth_a_warning() -> None:
    for others, missing in (((), "Test Bank CA"), ((ISSUER,), "Test Root")):
        (finding,) = findings(LEAF, *others)
        assert finding.kind is FindingKind.CHAIN_MISSING
        assert finding.severity is Severity.WARNING
        assert missing in finding.message


def test_a_chain_whose_signature_does_not_hold_is_broken() -> None:
    same_name = pki.certificate(
        "Test Bank CA",
        "Test Root",
        pki.authority_key("impostor").public_key(),
        pki.authority_key("Test Root"),
        usage=pki.CERTIFYING,
        constraints=pki.CA,
    )
    (finding,) = findings(LEAF, same_name, ROOT)
    assert finding.kind is FindingKind.CHAIN_BROKEN
    assert finding.severity is Severity.ERROR
    assert findings(LEAF, same_name, *WHOLE) == ()


@pytest.mark.parametrize(
    ("issuer", "why"),
    [
        (pki.authority("Test Bank CA", "Test Root", constraints=None), "basic constraints"),
        (pki.authority("Test Bank CA", "Test Root", usage=pki.SIGNING), "key usage"),
        (pki.authority("Test Bank CA", "Test Root", usage=None), "key usage"),
        (
            pki.authority("Test Bank CA", "Test Root", not_after=pki.NOW - DAY),
            "not valid now",
        ),
    ],
)
def test_an_issuer_that_may_not_issue_breaks_the_chain(issuer: x509.Certificate, why: str) -> None:
    (finding,) = findings(LEAF, issuer, ROOT)
    assert finding.kind is FindingKind.CHAIN_BROKEN
    assert why in finding.message


def test_authorities_that_issued_each_other_do_not_keep_the_search_going() -> None:
    one = pki.authority("Test Bank CA", "Ring")
    other = pki.authority("Ring", "Test Bank CA")
    assert kinds(findings(LEAF, one, other)) == [FindingKind.CHAIN_MISSING]


def test_a_root_whose_own_signature_does_not_hold_breaks_the_chain() -> None:
    forged = pki.certificate(
        "Test Bank CA",
        "Test Bank CA",
        pki.authority_key("Test Bank CA").public_key(),
        pki.authority_key("somebody else"),
        usage=pki.CERTIFYING,
        constraints=pki.CA,
    )
    assert kinds(findings(LEAF, forged)) == [FindingKind.CHAIN_BROKEN]


def test_an_authority_on_the_token_is_looked_at_as_one() -> None:
    def of(certificate: x509.Certificate) -> list[FindingKind]:
        return kinds(check_health(stored(certificate, b""), (KEY,), [], at=pki.NOW))

    assert of(ROOT) == []
    assert of(pki.authority("Test Root", constraints=None)) == [FindingKind.KEY_USAGE]


def test_a_certificate_that_cannot_be_read_is_told_and_does_not_hide_others() -> None:
    broken = Certificate(9, b"", "broken", b"\x30\x03\x02\x01\x00")
    assert kinds(check_health(broken, (KEY,), [], at=pki.NOW)) == [FindingKind.UNREADABLE]
    chain = [broken, *(stored(one, b"") for one in WHOLE)]
    assert check_health(stored(LEAF), (KEY,), chain, at=pki.NOW) == ()


def test_every_kind_of_finding_has_its_remedy() -> None:
    for kind in FindingKind:
        assert kind.remedy
        assert Finding(kind, "").severity is kind.severity


def test_a_session_tells_the_health_of_what_is_on_the_token(
    virtual_token: VirtualTokenUnderTest,
) -> None:
    with virtual_token.open() as token, token.session(virtual_token.pin) as session:
        certificate = session.certificates(label="signing").one()
        assert kinds(session.health(certificate)) == [FindingKind.CHAIN_MISSING]
        session.import_certificates(virtual_token.authority.ca_pem)
        assert session.health(certificate) == ()
        end = certificate.parsed().not_valid_after_utc
        assert FindingKind.EXPIRED in kinds(session.health(certificate, at=end + DAY))
