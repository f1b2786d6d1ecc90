"""CRLs and OCSP responses for tests, by the authorities of `tests.pki`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from tests.pki import NOW, PrivateKey, authority, authority_key, name
from ushield.cms import der
from ushield.iso7816.tlv import parse_one

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def entry(
    serial: int,
    since: datetime = NOW - DAY,
    *,
    reason: x509.ReasonFlags | None = None,
    extensions: Sequence[tuple[x509.ExtensionType, bool]] = (),
) -> x509.RevokedCertificate:
    builder = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(since)
    if reason is not None:
        builder = builder.add_extension(x509.CRLReason(reason), critical=False)
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    return builder.build()


def crl(
    *entries: x509.RevokedCertificate | x509.Certificate,
    issuer: str = "Test Bank CA",
    key: PrivateKey | None = None,
    this_update: datetime = NOW - HOUR,
    next_update: datetime = NOW + DAY,
    extensions: Sequence[tuple[x509.ExtensionType, bool]] = (),
    hash_algorithm: hashes.SHA224 | hashes.SHA256 | None = None,
) -> bytes:
    builder = x509.CertificateRevocationListBuilder().issuer_name(name(issuer))
    builder = builder.last_update(this_update).next_update(next_update)
    for each in entries:
        revoked = entry(each.serial_number) if isinstance(each, x509.Certificate) else each
        builder = builder.add_revoked_certificate(revoked)
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    signed = builder.sign(key or authority_key(issuer), hash_algorithm or hashes.SHA256())
    return signed.public_bytes(Encoding.DER)


def ocsp_response(
    certificate: x509.Certificate,
    *,
    issuer: x509.Certificate | None = None,
    responder: x509.Certificate | None = None,
    key: PrivateKey | None = None,
    status: ocsp.OCSPCertStatus = ocsp.OCSPCertStatus.GOOD,
    since: datetime | None = None,
    reason: x509.ReasonFlags | None = None,
    this_update: datetime = NOW - HOUR,
    next_update: datetime | None = NOW + HOUR,
    nonce: bytes | None = None,
) -> bytes:
    issuer = issuer or authority()
    builder = ocsp.OCSPResponseBuilder().add_response(
        certificate,
        issuer,
        hashes.SHA1(),
        status,
        this_update,
        next_update,
        since,
        reason,
    )
    builder = builder.responder_id(ocsp.OCSPResponderEncoding.NAME, responder or issuer)
    if responder is not None:
        builder = builder.certificates([responder])
    if nonce is not None:
        builder = builder.add_extension(x509.OCSPNonce(nonce), critical=False)
    signed = builder.sign(key or authority_key("Test Bank CA"), hashes.SHA256())
    return signed.public_bytes(Encoding.DER)


def many(serials: Iterable[int], since: datetime = NOW - DAY) -> bytes:
    """A CRL of a great many entries, which the builder of cryptography takes long for."""
    body = parse_one(x509.load_der_x509_crl(crl()).tbs_certlist_bytes).value
    date = der.tagged(0x17, since.strftime("%y%m%d%H%M%SZ").encode())
    entries = (der.sequence(der.integer(serial), date) for serial in serials)
    return signed(body + der.sequence(*entries))


def signed(body: bytes) -> bytes:
    """The CRL whose members, up to its signature, are ``body``."""
    listed = der.sequence(body)
    key = authority_key("Test Bank CA")
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    signature = key.sign(listed, ec.ECDSA(hashes.SHA256()))
    algorithm = der.sequence(der.object_identifier("1.2.840.10045.4.3.2"))
    return der.sequence(listed, algorithm, der.tagged(0x03, b"\0", signature))
