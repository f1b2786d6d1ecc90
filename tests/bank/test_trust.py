"""Which certificates may sign a transaction: paths, purposes, times, keys."""

from __future__ import annotations

from base64 import b64encode
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from asn1crypto import x509 as asn1
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.bank.odd import ODD_CERTIFICATES
from tests.pki import (
    CA,
    NOW,
    SIGNING,
    YEAR,
    Signer,
    authority,
    authority_key,
    certificate,
    der,
    key_usage,
    pem,
)
from ushield.algorithms import KeyAlgorithm
from ushield.bank import RejectionReason, TransactionRejected, TrustStore
from ushield.errors import CertificateInvalid

ROOT = authority()
SECOND = timedelta(seconds=1)
UNKNOWN_EXTENSION = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")


def _reason(
    signer: x509.Certificate, *authorities: x509.Certificate, at: Any = NOW
) -> RejectionReason:
    with pytest.raises(TransactionRejected) as caught:
        TrustStore.load(pem(*authorities)).check(signer, at)
    return caught.value.reason


def test_a_signer_of_the_trusted_ca_is_accepted_with_its_path() -> None:
    signer = Signer.issued().certificate
    assert TrustStore.load(pem(ROOT)).check(signer, NOW) == (signer, ROOT)
    assert TrustStore.load(der(ROOT)).check(signer, NOW) == (signer, ROOT)


def test_intermediates_of_the_bundle_are_used_in_any_order() -> None:
    upper = authority("Upper", "Test Bank CA")
    lower = authority("Lower", "Upper")
    signer = Signer.issued(issuer="Lower").certificate
    for bundle in (pem(ROOT, upper, lower), pem(lower, ROOT, upper)):
        assert TrustStore.load(bundle).check(signer, NOW) == (signer, lower, upper, ROOT)


def test_an_intermediate_alone_is_nothing_to_trust() -> None:
    with pytest.raises(CertificateInvalid):
        TrustStore.load(pem(authority("Lower", "Test Bank CA")))


def test_a_missing_link_is_an_unknown_issuer() -> None:
    lower = authority("Lower", "Upper")
    signer = Signer.issued(issuer="Lower").certificate
    assert _reason(signer, ROOT, lower) is RejectionReason.ISSUER_UNKNOWN


def test_another_ca_of_the_same_name_is_not_the_issuer() -> None:
    impostor = authority_key("Impostor")
    renamed = certificate("李四", "Test Bank CA", Signer.issued().key.public_key(), impostor)
    assert _reason(renamed, ROOT) is RejectionReason.ISSUER_UNKNOWN


def test_two_cas_that_certify_each_other_end_the_search() -> None:
    one, other = authority("One", "Other"), authority("Other", "One")
    signer = Signer.issued(issuer="One").certificate
    assert _reason(signer, ROOT, one, other) is RejectionReason.ISSUER_UNKNOWN


def test_a_good_path_is_found_beside_a_broken_one() -> None:
    expired = authority("Lower", "Test Bank CA", not_after=NOW - SECOND)
    good = authority("Lower", "Test Bank CA")
    signer = Signer.issued(issuer="Lower").certificate
    trust = TrustStore.load(pem(ROOT, expired, good))
    assert trust.check(signer, NOW) == (signer, good, ROOT)


@pytest.mark.parametrize(
    ("usage", "extensions"),
    [
        (key_usage("digital_signature"), []),
        (key_usage("content_commitment"), []),
        (SIGNING, [(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False)]),
        (SIGNING, [(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), True)]),
        (SIGNING, [(x509.SubjectAlternativeName([x509.DNSName("a.example")]), True)]),
        (SIGNING, [(UNKNOWN_EXTENSION, False)]),
        (SIGNING, [(x509.BasicConstraints(ca=False, path_length=None), True)]),
    ],
)
def test_a_signing_certificate_is_accepted(usage: x509.KeyUsage, extensions: Any) -> None:
    signer = Signer.issued(usage=usage, extensions=extensions).certificate
    TrustStore.load(pem(ROOT)).check(signer, NOW)


@pytest.mark.parametrize(
    ("usage", "extensions"),
    [
        (None, []),
        (key_usage("key_encipherment"), []),
        (key_usage("digital_signature", "key_cert_sign"), []),
        (SIGNING, [(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)]),
        (SIGNING, [(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING]), True)]),
    ],
)
def test_a_certificate_for_something_else_is_refused(
    usage: x509.KeyUsage | None, extensions: Any
) -> None:
    signer = Signer.issued(usage=usage, extensions=extensions).certificate
    assert _reason(signer, ROOT) is RejectionReason.CERTIFICATE_USAGE


def test_a_ca_is_no_signer_even_the_trusted_one() -> None:
    assert _reason(ROOT, ROOT) is RejectionReason.CERTIFICATE_IS_CA
    subordinate = Signer.issued(constraints=CA).certificate
    assert _reason(subordinate, ROOT) is RejectionReason.CERTIFICATE_IS_CA


def test_a_signer_is_valid_from_its_first_second_to_its_last() -> None:
    signer = Signer.issued(not_before=NOW, not_after=NOW + YEAR).certificate
    trust = TrustStore.load(pem(ROOT))
    for at in (NOW, NOW + YEAR):
        trust.check(signer, at)
    before, after = NOW - SECOND, NOW + YEAR + SECOND
    assert _reason(signer, ROOT, at=before) is RejectionReason.CERTIFICATE_NOT_YET_VALID
    assert _reason(signer, ROOT, at=after) is RejectionReason.CERTIFICATE_EXPIRED


BAD_AUTHORITIES: dict[str, dict[str, Any]] = {
    "expired": {"not_after": NOW - SECOND},
    "not yet valid": {"not_before": NOW + SECOND},
    "no basic constraints": {"constraints": None},
    "not a CA": {"constraints": x509.BasicConstraints(ca=False, path_length=None)},
    "no key usage": {"usage": None},
    "may not sign certificates": {"usage": key_usage("crl_sign", "digital_signature")},
    "unknown critical extension": {"extensions": [(UNKNOWN_EXTENSION, True)]},
    "name constraints": {
        "extensions": [(x509.NameConstraints([x509.DNSName("a.example")], None), False)]
    },
}


@pytest.mark.parametrize("authority_of", BAD_AUTHORITIES.values(), ids=BAD_AUTHORITIES.keys())
def test_an_issuer_that_may_not_issue_breaks_the_path(authority_of: dict[str, Any]) -> None:
    root = authority(**authority_of)
    assert _reason(Signer.issued().certificate, root) is RejectionReason.PATH_INVALID
    lower = authority("Lower", "Test Bank CA", **authority_of)
    signer = Signer.issued(issuer="Lower").certificate
    assert _reason(signer, ROOT, lower) is RejectionReason.PATH_INVALID


def test_a_path_length_is_kept() -> None:
    root = authority(constraints=x509.BasicConstraints(ca=True, path_length=0))
    TrustStore.load(pem(root)).check(Signer.issued().certificate, NOW)
    lower = authority("Lower", "Test Bank CA")
    signer = Signer.issued(issuer="Lower").certificate
    assert _reason(signer, root, lower) is RejectionReason.PATH_INVALID


def test_an_unknown_critical_extension_of_the_signer_is_refused() -> None:
    signer = Signer.issued(extensions=[(UNKNOWN_EXTENSION, True)]).certificate
    assert _reason(signer, ROOT) is RejectionReason.PATH_INVALID


@pytest.mark.parametrize(
    "key",
    [
        rsa.generate_private_key(65537, 1024),
        ec.generate_private_key(ec.SECP192R1()),
        ed25519.Ed25519PrivateKey.generate(),
    ],
    ids=["rsa1024", "p192", "ed25519"],
)
def test_a_weak_or_foreign_key_is_refused(key: Any) -> None:
    signer = certificate("李四", "Test Bank CA", key.public_key(), authority_key("Test Bank CA"))
    assert _reason(signer, ROOT) is RejectionReason.KEY_TOO_WEAK


def test_a_weak_key_of_an_issuer_breaks_the_path() -> None:
    key = rsa.generate_private_key(65537, 1024)
    lower = certificate(
        "Lower",
        "Test Bank CA",
        key.public_key(),
        authority_key("Test Bank CA"),
        usage=key_usage("key_cert_sign"),
        constraints=CA,
    )
    signer = certificate("李四", "Lower", Signer.issued().key.public_key(), key)
    assert _reason(signer, ROOT, lower) is RejectionReason.PATH_INVALID


def _reissued(
    good: x509.Certificate, hash_algorithm: hashes.HashAlgorithm, **members: Any
) -> x509.Certificate:
    """``good`` as the test bank would never issue it."""
    changed = asn1.Certificate.load(der(good))
    signature_algorithm = {"algorithm": f"{hash_algorithm.name}_ecdsa"}
    changed["signature_algorithm"] = signature_algorithm
    for name, value in {"signature": signature_algorithm, **members}.items():
        changed["tbs_certificate"][name] = value
    key = authority_key("Test Bank CA")
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    signed = changed["tbs_certificate"].dump(force=True)
    changed["signature_value"] = key.sign(signed, ec.ECDSA(hash_algorithm))
    return x509.load_der_x509_certificate(changed.dump(force=True))


def test_a_certificate_signed_with_sha_1_is_refused() -> None:
    signer = _reissued(Signer.issued().certificate, hashes.SHA1())
    assert _reason(signer, ROOT) is RejectionReason.PATH_INVALID


def test_an_issuer_signed_with_sha_1_leads_nowhere() -> None:
    lower = _reissued(authority("Lower", "Test Bank CA"), hashes.SHA1())
    signer = Signer.issued(issuer="Lower").certificate
    with pytest.raises(TransactionRejected) as caught:
        TrustStore.load(pem(ROOT, lower)).check(signer, NOW)
    assert caught.value.reason.is_trust


def test_an_issuer_signed_with_a_hash_that_is_not_listed_breaks_the_path() -> None:
    lower = authority("Lower", "Test Bank CA", hash_algorithm=hashes.SHA224())
    signer = Signer.issued(issuer="Lower").certificate
    assert _reason(signer, ROOT, lower) is RejectionReason.PATH_INVALID


def test_a_certificate_of_version_1_is_refused() -> None:
    signer = _reissued(Signer.issued().certificate, hashes.SHA256(), version="v1", extensions=None)
    assert _reason(signer, ROOT) is RejectionReason.CERTIFICATE_INVALID


def test_a_path_is_followed_six_certificates_up_and_no_further() -> None:
    names = ["Test Bank CA", "CA 2", "CA 3", "CA 4", "CA 5", "CA 6", "CA 7"]
    chain = [authority(name, above) for above, name in pairwise(names)]
    trust = TrustStore.load(pem(ROOT, *chain))
    assert len(trust.check(Signer.issued(issuer="CA 6").certificate, NOW)) == 7
    with pytest.raises(TransactionRejected) as caught:
        trust.check(Signer.issued(issuer="CA 7").certificate, NOW)
    assert caught.value.reason is RejectionReason.ISSUER_UNKNOWN


@pytest.mark.parametrize("broken", [63, 64])
def test_sixty_four_paths_are_looked_at_and_no_more(broken: int) -> None:
    expired = [authority("Lower", "Test Bank CA", not_after=NOW - SECOND) for _ in range(broken)]
    good = authority("Lower", "Test Bank CA")
    signer = Signer.issued(issuer="Lower").certificate
    if broken < 64:
        TrustStore.load(pem(ROOT, *expired, good)).check(signer, NOW)
    else:
        assert _reason(signer, ROOT, *expired, good) is RejectionReason.PATH_INVALID


@pytest.mark.parametrize("algorithm", [KeyAlgorithm.RSA_2048, KeyAlgorithm.P384])
def test_keys_of_the_usual_kinds_are_accepted(algorithm: KeyAlgorithm) -> None:
    TrustStore.load(pem(ROOT)).check(Signer.issued(algorithm).certificate, NOW)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"garbage",
        der(ROOT)[:-1],
        pem(ROOT)[:-40],
        b"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n",
    ],
)
def test_an_unreadable_bundle_is_refused(data: bytes) -> None:
    with pytest.raises(CertificateInvalid):
        TrustStore.load(data)


@pytest.mark.parametrize("name", ["bit-string-name", "no-utf-8-name", "integer-name"])
def test_a_certificate_that_cannot_be_read_takes_nothing_from_the_others(name: str) -> None:
    odd = b64encode(ODD_CERTIFICATES[name])
    bundle = b"-----BEGIN CERTIFICATE-----\n" + odd + b"\n-----END CERTIFICATE-----\n"
    trust = TrustStore.load(bundle + pem(ROOT))
    assert trust.intermediates == ()
    assert trust.check(Signer.issued().certificate, NOW)[-1] == ROOT
