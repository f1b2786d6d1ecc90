"""Verifying a signed transaction: from bytes to what a person confirmed, or a reason why not."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import overload

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from ushield.algorithms import HashAlgorithm
from ushield.bank.rejection import RejectionReason, TransactionRejected
from ushield.bank.trust import TrustStore
from ushield.cms.blind import BlindStatement
from ushield.cms.parsing import ParsedSignature, SignedDataInvalid, parse_signed_data
from ushield.cms.receipt import Receipt
from ushield.errors import DisplayRefused, InputInvalid, MessageInvalid
from ushield.transaction.message import Message, parse_message
from ushield.transaction.model import Transaction
from ushield.transaction.pages import MOST_PAGES, Page, Screen, lay_out, pages_digest
from ushield.transaction.repertoire import Repertoire

__all__ = ["BlindTransaction", "VerifiedTransaction", "verify_transaction"]

_HASHES: dict[HashAlgorithm, hashes.HashAlgorithm] = {
    HashAlgorithm.SHA256: hashes.SHA256(),
    HashAlgorithm.SHA384: hashes.SHA384(),
    HashAlgorithm.SHA512: hashes.SHA512(),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _SignedTransaction:
    """What holds of a signature, whether its transaction was shown or not."""

    message: Message
    certificate: bytes
    certificate_serial: int
    path: tuple[str, ...]

    @property
    def transaction(self) -> Transaction:
        """What was signed."""
        return self.message.transaction

    @property
    def signer(self) -> str:
        """The subject of the signer's certificate (RFC 4514)."""
        return self.path[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedTransaction(_SignedTransaction):
    """A transaction whose signature holds. Only `verify_transaction` makes one.

    ``message`` is what was signed and ``pages`` what the token showed before OK; ``receipt`` is
    the token's word on the press. ``certificate`` is the signer's in DER, ``path`` the subjects
    from it up to the trusted CA (RFC 4514), ``certificate_serial`` its serial number.
    """

    pages: tuple[Page, ...]
    receipt: Receipt


@dataclass(frozen=True, slots=True, kw_only=True)
class BlindTransaction(_SignedTransaction):
    """A transaction that a key signed and no screen showed: no `VerifiedTransaction`.

    The customer's key was used, perhaps with a touch. That the customer meant *this* transaction,
    nothing says: a program on the customer's computer chose it. ``statement`` is that computer's
    word on the token; the rest as in `VerifiedTransaction`.
    """

    statement: BlindStatement


@overload
def verify_transaction(
    signature: bytes, trust: TrustStore, at: datetime | None = None, *, accept_blind: None = None
) -> VerifiedTransaction: ...
@overload
def verify_transaction(
    signature: bytes, trust: TrustStore, at: datetime | None = None, *, accept_blind: TrustStore
) -> VerifiedTransaction | BlindTransaction: ...
def verify_transaction(
    signature: bytes,
    trust: TrustStore,
    at: datetime | None = None,
    *,
    accept_blind: TrustStore | None = None,
) -> VerifiedTransaction | BlindTransaction:
    """Verify a signature (CMS SignedData in DER), trusting the CAs of ``trust``.

    A signature that says of itself that nothing was shown is refused, unless ``accept_blind`` has
    the CA of keys without a display; then it comes back as another type, `BlindTransaction`. That
    CA must not be among those of ``trust``: a key without a display signs what its host wants, a
    receipt, too, and only its certificate tells the bank so.

    ``at`` is the time at which certificates must be valid, an aware datetime; now by default.
    `InputInvalid` for a time without a zone, or a CA in both stores. `TransactionRejected`
    carries the reason.

    Whether the transaction was expected, is in time or was seen before is for the caller to
    decide: this looks at the signature alone. What was seen before is known by its challenge, or
    by serial number and request id of the receipt.
    """
    if accept_blind is not None and not set(accept_blind.anchors).isdisjoint(trust.anchors):
        raise InputInvalid(
            "one CA for keys with a display and for keys without",
            remedy="Let another CA certify keys without a display, or do not accept them.",
        )
    parsed = _parse(signature)
    certificate = _load_certificate(parsed.certificate)
    _check_signature(parsed, certificate)
    message = _read_message(parsed.message)
    at = datetime.now(UTC) if at is None else at
    if isinstance(parsed.display, BlindStatement):
        if accept_blind is None:
            raise TransactionRejected(
                "no screen showed what was signed", reason=RejectionReason.BLIND_SIGNATURE
            )
        return BlindTransaction(
            message=message,
            statement=parsed.display,
            certificate=parsed.certificate,
            certificate_serial=certificate.serial_number,
            path=_path(accept_blind, certificate, at),
        )
    pages = _redraw(message, parsed.display)
    return VerifiedTransaction(
        message=message,
        pages=pages,
        receipt=parsed.display,
        certificate=parsed.certificate,
        certificate_serial=certificate.serial_number,
        path=_path(trust, certificate, at),
    )


def _path(trust: TrustStore, certificate: x509.Certificate, at: datetime) -> tuple[str, ...]:
    return tuple(each.subject.rfc4514_string() for each in trust.check(certificate, at))


def _parse(signature: bytes) -> ParsedSignature:
    try:
        return parse_signed_data(signature)
    except SignedDataInvalid as error:
        raise TransactionRejected(str(error), reason=RejectionReason(error.fault.value)) from error


def _load_certificate(encoded: bytes) -> x509.Certificate:
    try:
        return x509.load_der_x509_certificate(encoded)
    except (ValueError, x509.InvalidVersion) as error:
        raise TransactionRejected(
            "the signer's certificate cannot be read", reason=RejectionReason.CERTIFICATE_INVALID
        ) from error


def _check_signature(parsed: ParsedSignature, certificate: x509.Certificate) -> None:
    algorithm = _HASHES[parsed.hash_algorithm]
    try:
        key = certificate.public_key()
        if parsed.is_rsa and isinstance(key, rsa.RSAPublicKey):
            key.verify(parsed.signature, parsed.signed_attributes, padding.PKCS1v15(), algorithm)
        elif not parsed.is_rsa and isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(parsed.signature, parsed.signed_attributes, ec.ECDSA(algorithm))
        else:
            raise TransactionRejected(
                "the certificate's key is not of the kind that signed",
                reason=RejectionReason.ALGORITHM_REFUSED,
            )
    except InvalidSignature as error:
        raise TransactionRejected(
            "the signature does not match the certificate's key",
            reason=RejectionReason.SIGNATURE_INVALID,
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise TransactionRejected(
            "the certificate's key cannot be read", reason=RejectionReason.CERTIFICATE_INVALID
        ) from error


def _read_message(encoded: bytes) -> Message:
    try:
        return parse_message(encoded)
    except MessageInvalid as error:
        raise TransactionRejected(str(error), reason=RejectionReason.MESSAGE_INVALID) from error


def _redraw(message: Message, receipt: Receipt) -> tuple[Page, ...]:
    try:
        screen = Screen(
            lines=receipt.lines,
            columns=receipt.columns,
            repertoire=Repertoire(receipt.repertoire),
            banner=receipt.banner,
            max_pages=MOST_PAGES,
        )
    except (ValueError, InputInvalid) as error:
        raise TransactionRejected(
            "the receipt names a screen that does not exist",
            reason=RejectionReason.RECEIPT_INVALID,
        ) from error
    try:
        pages = lay_out(message.shown, screen)
    except DisplayRefused as error:
        raise TransactionRejected(
            f"the token cannot have shown this message: {error}",
            reason=RejectionReason.PAGES_MISMATCH,
        ) from error
    if pages_digest(pages) != receipt.pages_digest:
        raise TransactionRejected(
            "the token showed other pages than this message has",
            reason=RejectionReason.PAGES_MISMATCH,
        )
    return pages
