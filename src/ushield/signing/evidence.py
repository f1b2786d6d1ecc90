"""Is this the signature that was asked for? What the token handed out, held against the message.

Nothing that fails here leaves the library.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from ushield.algorithms import HashAlgorithm
from ushield.errors import DisplayRefused, InputInvalid, SignatureMismatch
from ushield.iso7816.tlv import parse, parse_one
from ushield.transaction import Field, Page, Repertoire, Screen, lay_out, pages_digest
from ushield.transaction.pages import MOST_PAGES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

    from ushield.cms import Receipt
    from ushield.drivers.base import TokenInfo

__all__ = ["check_receipt", "check_signature", "read_receipt", "redraw"]

_OBJECT_IDENTIFIER, _SET = 0x06, 0x31


def read_receipt(signed_attributes: bytes) -> Receipt:
    """The receipt among signed attributes (SET OF, DER). `SignatureMismatch` if there is none."""
    from ushield.cms import Receipt
    from ushield.cms.der import object_identifier
    from ushield.cms.oids import RECEIPT

    wanted = parse_one(object_identifier(RECEIPT)).value
    try:
        attributes = parse_one(signed_attributes)
        for attribute in parse(attributes.value):
            kind, values = parse(attribute.value)
            if kind.tag == _OBJECT_IDENTIFIER and kind.value == wanted and values.tag == _SET:
                return Receipt.decode(values.value)
    except (InputInvalid, ValueError) as error:
        raise SignatureMismatch(f"the token signed unreadable attributes: {error}") from error
    raise SignatureMismatch("the token signed no receipt")


def redraw(shown: Sequence[Field], info: TokenInfo) -> tuple[Page, ...]:
    """The pages of a message as this token's screen shows them."""
    if info.screen is None:
        raise SignatureMismatch("a token without a screen signed what it cannot have shown")
    try:
        screen = Screen(
            info.screen.lines,
            info.screen.columns,
            Repertoire(info.screen.repertoire),
            info.screen.banner,
            max_pages=MOST_PAGES,
        )
        return lay_out(shown, screen)
    except (DisplayRefused, InputInvalid, ValueError) as error:
        raise SignatureMismatch(
            f"the token signed what its screen cannot have shown: {error}"
        ) from error


def check_receipt(
    receipt: Receipt, request_id: bytes, pages: Sequence[Page], info: TokenInfo
) -> None:
    """Raise `SignatureMismatch` unless the receipt is for this request, token, screen and pages."""
    screen = info.screen
    facts = (
        ("of another request", receipt.request_id, request_id),
        ("of another token", receipt.serial, info.serial),
        ("of another kind of token", receipt.virtual, info.virtual),
        (
            "of another screen",
            (receipt.lines, receipt.columns, receipt.repertoire, receipt.banner),
            screen and (screen.lines, screen.columns, screen.repertoire, screen.banner),
        ),
        ("of other pages", receipt.pages_digest, pages_digest(pages)),
    )
    for difference, told, expected in facts:
        if told != expected:
            raise SignatureMismatch(f"the token's receipt is {difference}")


def check_signature(
    certificate: bytes, signature: bytes, data: bytes, algorithm: HashAlgorithm
) -> None:
    """Raise `SignatureMismatch` unless the key of ``certificate`` (DER) verifies ``signature``.

    PKCS #1 v1.5 (RFC 8017, 8.2.2), or ECDSA (FIPS 186-5).
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

    digests: dict[HashAlgorithm, hashes.HashAlgorithm] = {
        HashAlgorithm.SHA256: hashes.SHA256(),
        HashAlgorithm.SHA384: hashes.SHA384(),
        HashAlgorithm.SHA512: hashes.SHA512(),
    }
    digest = digests[algorithm]
    key = _public_key(certificate)
    try:
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, data, padding.PKCS1v15(), digest)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, data, ec.ECDSA(digest))
        else:
            raise SignatureMismatch("the certificate has a key of another kind")
    except (InvalidSignature, ValueError) as error:
        raise SignatureMismatch("the certificate does not verify the token's signature") from error


# The key of a token's certificate serves all its signatures.
@lru_cache(maxsize=16)
def _public_key(certificate: bytes) -> CertificatePublicKeyTypes:
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        return x509.load_der_x509_certificate(certificate).public_key()
    except (ValueError, x509.InvalidVersion, UnsupportedAlgorithm) as error:
        raise SignatureMismatch(f"the certificate cannot be used: {error}") from error
