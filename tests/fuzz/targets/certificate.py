"""Certificates from anywhere: a bundle to import, a CA file to trust, a signer's, a token's own.

The first byte names the reader.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from functools import cache
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.bank.odd import ODD_CERTIFICATES, fields, issued
from tests.fuzz.target import Target
from tests.pki import NOW, Signer, authority, authority_key, certificate, der, pem
from ushield.algorithms import KeyAlgorithm
from ushield.bank import TransactionRejected, TrustStore
from ushield.errors import CertificateInvalid
from ushield.keystore.bundle import (
    authority_problem,
    is_issued_by,
    public_key_der,
    read_bundle,
    read_certificate,
)
from ushield.keystore.health import check_health
from ushield.keystore.importing import issuers
from ushield.keystore.objects import Certificate

__all__ = ["TARGET"]

_POLICY: Final = x509.ObjectIdentifier("1.2.3.4")
_BUNDLE, _TRUST, _SIGNER, _PEM, _ISSUED = range(5)


@cache
def _trust() -> TrustStore:
    return TrustStore.load(pem(authority(), authority("Test Bank sub CA", "Test Bank CA")))


def _run(data: bytes) -> None:
    if data:
        (_read_bundle, _load_trust, _check_signer, _read_pem, _issue)[data[0] % 5](data[1:])


def _read_bundle(data: bytes) -> None:
    try:
        found = read_bundle(data)
    except CertificateInvalid:
        return
    for one in found:
        authority_problem(one)
        one.subject.rfc4514_string()
        with suppress(CertificateInvalid):
            public_key_der(one)
        is_issued_by(one, one)
        issuers(one, found)


def _load_trust(data: bytes) -> None:
    try:
        trust = TrustStore.load(data)
    except CertificateInvalid:
        return
    for one in (*trust.anchors, *trust.intermediates, _signer()):
        _check(trust, one)


def _issue(data: bytes) -> None:
    """Any field in a certificate that is else as it should be, the CA's signature included."""
    if data:
        parts = fields()
        parts[data[0] % len(parts)] = data[1:]
        _check_signer(issued(parts))


def _check_signer(data: bytes) -> None:
    """A certificate that a token holds or a signature brings."""
    stored = Certificate(1, b"id", "label", data)
    check_health(stored, [], [stored, *_stored()], at=NOW)
    check_health(replace(stored, key_id=b""), [], [stored, *_stored()], at=NOW)
    check_health(_stored()[0], [], [stored], at=NOW)
    try:
        parsed = read_certificate(data)
    except CertificateInvalid:
        return
    with suppress(CertificateInvalid):
        assert stored.attributes
    _check(_trust(), parsed)


def _check(trust: TrustStore, signer: x509.Certificate) -> None:
    try:
        path = trust.check(signer, NOW)
    except TransactionRejected:
        return
    assert path[-1] in trust.anchors


def _read_pem(data: bytes) -> None:
    """The same bytes in PEM, twice."""
    text = base64.encodebytes(data)
    block = b"-----BEGIN CERTIFICATE-----\n" + text + b"-----END CERTIFICATE-----\n"
    _read_bundle(block + block)
    _load_trust(block + block)


@cache
def _signer() -> x509.Certificate:
    return Signer.issued().certificate


@cache
def _stored() -> tuple[Certificate, ...]:
    return tuple(Certificate(9, b"", "CA", der(one)) for one in (_signer(), authority()))


def _examples() -> Iterator[x509.Certificate]:
    yield from (_signer(), authority(), authority("Test Bank sub CA", "Test Bank CA"))
    yield Signer.issued(KeyAlgorithm.RSA_2048).certificate
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    extensions: list[tuple[x509.ExtensionType, bool]] = [
        (x509.SubjectKeyIdentifier.from_public_key(key), False),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False),
        (x509.SubjectAlternativeName([x509.DNSName("a"), x509.RFC822Name("a@b")]), False),
        (x509.NameConstraints([x509.DNSName("a")], None), True),
        (x509.CertificatePolicies([x509.PolicyInformation(_POLICY, ["text"])]), False),
        (x509.TLSFeature([x509.TLSFeatureType.status_request]), False),
    ]
    for extension in extensions:
        yield certificate(
            "x", "Test Bank CA", key, authority_key("Test Bank CA"), extensions=[extension]
        )


def _seeds() -> Iterator[bytes]:
    examples = list(_examples())
    for kind in (_BUNDLE, _TRUST, _SIGNER, _PEM):
        for one in examples:
            yield bytes((kind,)) + der(one)
    for kind in (_BUNDLE, _TRUST):
        yield bytes((kind,)) + pem(*examples)
    for kind in (_BUNDLE, _SIGNER):
        for odd in ODD_CERTIFICATES.values():
            yield bytes((kind,)) + odd
    for place, part in enumerate(fields()):
        yield bytes((_ISSUED, place)) + part


TARGET = Target(_run, _seeds, max_length=8192)
