"""What the certificates of a token prove: that its channel's key is the device's of that serial."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ushield.errors import TokenUntrusted

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509 import Certificate

__all__ = ["channel_key"]

_CURVE = "secp256r1"


def channel_key(device: bytes, channel: bytes, serial: str) -> ec.EllipticCurvePublicKey:
    """The public key for secure channels with the token ``serial``, by the certificates (DER) of
    its device key and of its channel key.

    `TokenUntrusted` unless the one issued the other, for agreeing on keys, and both are of this
    token. Whose the device key is, they cannot tell: whoever has its certificate from elsewhere
    must compare.
    """
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric import ec

    from ushield.cms.unreadable import unreadable

    try:
        issuer = x509.load_der_x509_certificate(device)
        certificate = x509.load_der_x509_certificate(channel)
        key = certificate.public_key()
        if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name != _CURVE:
            raise TokenUntrusted("the token's channel has a key of another kind")
        certificate.verify_directly_issued_by(issuer)
        fit = _may(issuer, "key_cert_sign") and _may(certificate, "key_agreement")
        named = {_serial(issuer), _serial(certificate)}
    except InvalidSignature:
        raise TokenUntrusted("the token's device key has not signed for its channel") from None
    except unreadable() as error:
        raise TokenUntrusted(f"the certificates of the token's channel: {error}") from error
    if not fit:
        raise TokenUntrusted("the certificates of the token's channel are for other uses")
    if named != {serial}:
        raise TokenUntrusted("the certificates of the token's channel are another token's")
    return key


def _may(certificate: Certificate, use: str) -> bool:
    from cryptography import x509

    try:
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return False
    return bool(getattr(usage, use))


def _serial(certificate: Certificate) -> str:
    from cryptography.x509.oid import NameOID

    found = certificate.subject.get_attributes_for_oid(NameOID.SERIAL_NUMBER)
    return str(found[0].value) if len(found) == 1 else ""
