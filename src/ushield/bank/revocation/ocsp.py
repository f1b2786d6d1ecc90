"""OCSP (RFC 6960): asking for one certificate, and checking what was answered."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID

from ushield.bank.revocation.evidence import (
    RevocationInvalid,
    Revoked,
    check_hash,
    check_period,
    issuer_id,
    usage_of,
)

__all__ = ["MAX_OCSP", "OcspQuery", "OcspStatement", "names_issuer"]

MAX_OCSP = 1 << 16
"""Longest response that is looked at, in bytes."""

_UNREADABLE = (
    ValueError,
    TypeError,
    KeyError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
)
_MIN_RSA_BITS = 2048
_NAME_HASHES = (hashes.SHA1, hashes.SHA256, hashes.SHA384, hashes.SHA512)


@dataclass(frozen=True, slots=True)
class OcspQuery:
    """A request for one certificate (DER), and the nonce that makes its answer a new one."""

    request: bytes
    nonce: bytes

    @classmethod
    def about(cls, certificate: x509.Certificate, issuer: x509.Certificate) -> OcspQuery:
        """Ask how ``certificate`` of ``issuer`` stands."""
        nonce = secrets.token_bytes(32)
        # SHA-1 names the issuer here, as RFC 5019 wants; it guards nothing.
        builder = ocsp.OCSPRequestBuilder().add_certificate(
            certificate,
            issuer,
            hashes.SHA1(),  # noqa: S303 - see above
        )
        request = builder.add_extension(x509.OCSPNonce(nonce), critical=False).build()
        return cls(request.public_bytes(Encoding.DER), nonce)


@dataclass(frozen=True, slots=True)
class OcspStatement:
    """What a responder says of one certificate: that it is good, or since when it is not."""

    issuer: bytes
    serial_number: int
    this_update: datetime
    next_update: datetime
    revoked: Revoked | None

    @classmethod
    def read(
        cls,
        data: bytes,
        issuers: Sequence[x509.Certificate],
        now: datetime,
        *,
        nonce: bytes | None = None,
    ) -> tuple[OcspStatement, ...]:
        """Check a response (DER) about certificates of ``issuers``.

        It is signed by the issuer itself, or by a responder that the issuer certified for that and
        nothing else, without a need to ask about the responder in turn. With a ``nonce``, it is
        the answer to that query. `RevocationInvalid` says what is wrong. A certificate that the
        responder does not know is left out.
        """
        if len(data) > MAX_OCSP:
            raise RevocationInvalid(f"{len(data)} bytes, at most {MAX_OCSP} are looked at")
        try:
            response = ocsp.load_der_ocsp_response(data)
            if response.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
                raise RevocationInvalid(
                    f"the responder answered {response.response_status.name.lower()}"
                )
            _check_nonce(response, nonce)
            check_hash(response.signature_hash_algorithm)
            return tuple(_statements(response, issuers, now))
        except _UNREADABLE as error:
            raise RevocationInvalid("not an OCSP response that can be read") from error

    @property
    def edition(self) -> datetime:
        """What tells it from other statements about its certificate."""
        return self.this_update

    def covers(self, at: datetime) -> bool:
        """Whether it tells how the certificate stood at that time, or how it stood later."""
        return at < self.next_update


def _statements(
    response: ocsp.OCSPResponse, issuers: Sequence[x509.Certificate], now: datetime
) -> list[OcspStatement]:
    found = []
    signers: dict[bytes, bool] = {}
    for single in response.responses:
        issuer = next((each for each in issuers if names_issuer(single, each)), None)
        if issuer is None:
            raise RevocationInvalid("it is about a certificate of no trusted CA")
        identity = issuer_id(issuer)
        if identity not in signers:
            _check_signature(response, issuer, now)
            signers[identity] = True
        if single.certificate_status is ocsp.OCSPCertStatus.UNKNOWN:
            continue
        revoked = None
        if single.certificate_status is ocsp.OCSPCertStatus.REVOKED:
            since = single.revocation_time_utc
            is_hold = single.revocation_reason is x509.ReasonFlags.certificate_hold
            revoked = Revoked(since or single.this_update_utc, is_hold)
        next_update = check_period(single.this_update_utc, single.next_update_utc, now)
        found.append(
            OcspStatement(
                identity, single.serial_number, single.this_update_utc, next_update, revoked
            )
        )
    return found


def _check_nonce(response: ocsp.OCSPResponse, nonce: bytes | None) -> None:
    if nonce is None:
        return
    try:
        answered = response.extensions.get_extension_for_class(x509.OCSPNonce).value.nonce
    except x509.ExtensionNotFound:
        raise RevocationInvalid("it answers no query of ours: it has no nonce") from None
    if answered != nonce:
        raise RevocationInvalid("it answers another query: its nonce is not ours")


def names_issuer(
    named: ocsp.OCSPRequest | ocsp.OCSPSingleResponse, issuer: x509.Certificate
) -> bool:
    """Whether a request or an answer is about a certificate of ``issuer`` (CertID, 4.1.1)."""
    algorithm = named.hash_algorithm
    if not isinstance(algorithm, _NAME_HASHES):
        return False
    return named.issuer_name_hash == _digest(
        algorithm, issuer.subject.public_bytes()
    ) and named.issuer_key_hash == _digest(algorithm, _key_bits(issuer))


def _key_bits(certificate: x509.Certificate) -> bytes:
    from asn1crypto import x509 as asn1

    encoded = certificate.public_bytes(Encoding.DER)
    info = asn1.Certificate.load(encoded)["tbs_certificate"]["subject_public_key_info"]
    bits: bytes = info["public_key"].contents[1:]
    return bits


def _digest(algorithm: hashes.HashAlgorithm, data: bytes) -> bytes:
    digest = hashes.Hash(algorithm)
    digest.update(data)
    return digest.finalize()


def _check_signature(response: ocsp.OCSPResponse, issuer: x509.Certificate, now: datetime) -> None:
    if _signed_by(response, issuer):
        return
    for responder in response.certificates:
        if _is_responder(responder, issuer, now) and _signed_by(response, responder):
            return
    raise RevocationInvalid("it is signed neither by the issuer nor by a responder of its")


def _is_responder(certificate: x509.Certificate, issuer: x509.Certificate, now: datetime) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
        extensions = certificate.extensions
        purposes = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        # Without it, the responder's own certificate would have to be asked about.
        extensions.get_extension_for_class(x509.OCSPNoCheck)
    except (*_UNREADABLE, InvalidSignature, x509.ExtensionNotFound):
        return False
    usage = usage_of(certificate)
    return (
        ExtendedKeyUsageOID.OCSP_SIGNING in purposes
        and (usage is None or usage.digital_signature)
        and certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc
    )


def _signed_by(response: ocsp.OCSPResponse, signer: x509.Certificate) -> bool:
    algorithm = response.signature_hash_algorithm
    if algorithm is None:
        return False
    key = signer.public_key()
    try:
        if isinstance(key, rsa.RSAPublicKey) and key.key_size >= _MIN_RSA_BITS:
            key.verify(
                response.signature, response.tbs_response_bytes, padding.PKCS1v15(), algorithm
            )
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(response.signature, response.tbs_response_bytes, ec.ECDSA(algorithm))
        else:
            return False
    except InvalidSignature:
        return False
    return True
