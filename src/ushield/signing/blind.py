"""Signatures of tokens without a screen: the host writes the attributes, and says so in them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ushield.drivers.base import Capability, Demand, KeyUsage
from ushield.errors import KeyUsageRefused
from ushield.keystore.objects import Certificate, PrivateKey
from ushield.keystore.request import assemble_request, encode_request_info, encode_subject
from ushield.shield.requests import Signed
from ushield.signing.evidence import check_signature
from ushield.signing.progress import Progress, TouchDue
from ushield.transaction import Transaction, compose_message

if TYPE_CHECKING:
    from cryptography import x509

    from ushield.cms import BlindStatement
    from ushield.keystore.request import CertificateRequest
    from ushield.pin import Pin
    from ushield.signing.session import SigningSession

__all__ = ["BlindSignature", "request_blindly", "sign_blindly"]

_MOST_SERIAL, _MOST_MODEL = 64, 64


@dataclass(frozen=True, slots=True)
class BlindSignature:
    """A transaction that was signed and **shown to nobody**: no `TransactionSignature`.

    ``der`` is a CMS SignedData (RFC 5652) in DER with ``message``, the exact bytes signed,
    attached; ``statement`` is what it says of the display that was not there.
    """

    der: bytes = field(repr=False)
    message: bytes = field(repr=False)
    transaction: Transaction
    statement: BlindStatement
    certificate: Certificate = field(repr=False)


def sign_blindly(
    session: SigningSession,
    transaction: Transaction,
    key: PrivateKey | None,
    pin: str | Pin | None,
    *,
    allow_last_try: bool,
    progress: Callable[[Progress], None] | None,
) -> BlindSignature:
    """What `SigningSession.sign_without_display` does."""
    from ushield.cms import BlindStatement, assemble, signed_attributes

    info = session.token.info
    if Capability.DISPLAY_SIGNING in info.capabilities:
        raise KeyUsageRefused(
            "this token has a screen, and shows what it signs", remedy="Use `session.sign`."
        )
    message = compose_message(transaction)
    data = message.encoded
    key, certificates = session.signing_key(key, KeyUsage.AUTHENTICATION)
    certificate = certificates[0]
    algorithm = key.info.algorithm
    statement = BlindStatement(
        info.serial[:_MOST_SERIAL], info.model[:_MOST_MODEL], info.driver, virtual=info.virtual
    )
    attributes = signed_attributes(data, certificate.der, statement, algorithm.hash)
    signature = _sign(
        session, key, attributes, pin, allow_last_try=allow_last_try, progress=progress
    )
    check_signature(certificate.der, signature, attributes, algorithm.hash)
    der = assemble(
        message=data,
        certificate=certificate.der,
        signed_attributes=attributes,
        signature=signature,
        is_rsa=algorithm.is_rsa,
        hash_algorithm=algorithm.hash,
    )
    return BlindSignature(der, data, message.transaction, statement, certificate)


def request_blindly(
    session: SigningSession,
    key: PrivateKey,
    subject: str | x509.Name,
    pin: str | Pin | None,
    *,
    allow_last_try: bool,
    progress: Callable[[Progress], None] | None,
) -> CertificateRequest:
    """What `SigningSession.request_certificate_without_display` does."""
    name = encode_subject(subject)
    info = encode_request_info(name, key.info.public_key)
    signature = _sign(session, key, info, pin, allow_last_try=allow_last_try, progress=progress)
    return assemble_request(key, name, Signed(info, signature))


def _sign(
    session: SigningSession,
    key: PrivateKey,
    data: bytes,
    pin: str | Pin | None,
    *,
    allow_last_try: bool,
    progress: Callable[[Progress], None] | None,
) -> bytes:
    info = key.info
    digest = hashlib.new(info.algorithm.hash, data).digest()
    # Held, so that nothing comes between VERIFY and the signature that it is for.
    with session.token.reach() as driver, driver.connection.hold():
        if pin is not None:
            session.token.log_in(driver, pin, allow_last_try=allow_last_try)
        if progress is not None and info.touch not in (None, Demand.NEVER):
            progress(TouchDue(certain=info.touch is Demand.ALWAYS))
        return driver.sign_digest(info.reference, info.algorithm.hash, digest)
