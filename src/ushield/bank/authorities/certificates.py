"""The certificates a CA of ours makes (RFC 5280): its own, customers', and its OCSP responder's."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID

from ushield.bank.authorities.protocol import CertificateProfile
from ushield.errors import InputInvalid

__all__ = [
    "AuthorityPrivateKey",
    "PublicationPoints",
    "authority_certificate",
    "authority_name",
    "customer_certificate",
    "issuer_key_identifier",
    "responder_certificate",
]

AuthorityPrivateKey: TypeAlias = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
"""The keys that a CA of ours may have."""

_SERIAL_BITS = 128
# The common name has " CA" after it, and 64 characters at most (RFC 5280, A.1).
_LONGEST_NAME = 60
# For a verifier whose clock is behind.
_BACKDATED = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicationPoints:
    """Where a CA's CRL is to be had (URLs), and who answers OCSP; both go into certificates."""

    crl: tuple[str, ...] = ()
    ocsp: tuple[str, ...] = ()


def authority_name(organisation: str, country: str = "CN") -> x509.Name:
    """The name of an organisation's CA; `InputInvalid` for one of more than 60 characters."""
    if not 1 <= len(organisation) <= _LONGEST_NAME:
        raise InputInvalid(f"an organisation's name has 1 to {_LONGEST_NAME} characters")
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, country),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation),
            x509.NameAttribute(NameOID.COMMON_NAME, f"{organisation} CA"),
        ]
    )


def authority_certificate(
    key: AuthorityPrivateKey, name: x509.Name, *, at: datetime, validity: timedelta
) -> x509.Certificate:
    """A CA's self-signed certificate; no other CA may stand below it."""
    public = key.public_key()
    return (
        _builder(name, name, public, at, validity)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage("key_cert_sign", "crl_sign"), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .sign(key, SHA256())
    )


def customer_certificate(
    issuer: x509.Certificate,
    key: AuthorityPrivateKey,
    public: CertificatePublicKeyTypes,
    profile: CertificateProfile,
    *,
    at: datetime,
    points: PublicationPoints,
) -> x509.Certificate:
    """A customer's certificate for the key ``public``, valid from an hour before ``at``."""
    builder = (
        _builder(profile.subject, issuer.subject, public, at, profile.validity)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage("digital_signature", "content_commitment"), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(issuer_key_identifier(issuer), critical=False)
    )
    if points.crl:
        where = [
            x509.DistributionPoint([x509.UniformResourceIdentifier(url)], None, None, None)
            for url in points.crl
        ]
        builder = builder.add_extension(x509.CRLDistributionPoints(where), critical=False)
    if points.ocsp:
        who = [
            x509.AccessDescription(
                AuthorityInformationAccessOID.OCSP, x509.UniformResourceIdentifier(url)
            )
            for url in points.ocsp
        ]
        builder = builder.add_extension(x509.AuthorityInformationAccess(who), critical=False)
    return builder.sign(key, SHA256())


def responder_certificate(
    issuer: x509.Certificate,
    key: AuthorityPrivateKey,
    public: CertificatePublicKeyTypes,
    *,
    at: datetime,
    validity: timedelta,
) -> x509.Certificate:
    """The certificate of an OCSP responder (RFC 6960, 4.2.2.2), which nobody need ask about."""
    name = x509.Name(
        [
            *(each for each in issuer.subject if each.oid != NameOID.COMMON_NAME),
            x509.NameAttribute(NameOID.COMMON_NAME, "OCSP responder"),
        ]
    )
    return (
        _builder(name, issuer.subject, public, at, validity)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage("digital_signature"), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.OCSP_SIGNING]), critical=False)
        .add_extension(x509.OCSPNoCheck(), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(issuer_key_identifier(issuer), critical=False)
        .sign(key, SHA256())
    )


def issuer_key_identifier(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    """What certificates and CRLs name their issuer's key by."""
    try:
        known = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        # A CA's key is of a kind that signs.
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key())  # type: ignore[arg-type]
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(known)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public: CertificatePublicKeyTypes,
    at: datetime,
    validity: timedelta,
) -> x509.CertificateBuilder:
    at = at.replace(microsecond=0)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(1 + secrets.randbelow((1 << _SERIAL_BITS) - 1))
        .not_valid_before(at - _BACKDATED)
        .not_valid_after(at + validity)
    )


def _usage(*names: str) -> x509.KeyUsage:
    every = (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    )
    return x509.KeyUsage(**{each: each in names for each in every})
