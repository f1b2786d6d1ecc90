"""Verifying a signed transaction: from bytes to what a person confirmed, or a reason why not."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple, Protocol, overload

from ushield.bank.attestation import AttestationPolicy
from ushield.bank.memory import Memory
from ushield.bank.pages_check import check_pages
from ushield.bank.rejection import RejectionReason, TransactionRejected
from ushield.bank.revocation.index import RevocationIndex
from ushield.bank.standing import Standing
from ushield.bank.trust import TrustStore
from ushield.bank.verified import BlindTransaction, VerifiedTransaction
from ushield.cms.attestation import Attestation
from ushield.cms.blind import BlindStatement
from ushield.cms.parsing import SignedDataInvalid, parse_signed_data
from ushield.cms.receipt import Receipt
from ushield.cms.recognition import (
    ParsedSignature,
    ReadCertificate,
    SignerIdentity,
    read_certificate,
)
from ushield.errors import InputInvalid, MessageInvalid
from ushield.transaction.message import Message, parse_message

__all__ = ["LossRegister", "Verifier", "verify_transaction"]


class LossRegister(Protocol):
    """The tokens that customers reported lost, which the bank knows before any CRL does."""

    def lost_since(self, token: str) -> datetime | None:
        """From when on the token of this serial number counts as lost, if it was reported."""


class Verifier:
    """Verifies signatures, and remembers what it found out about their certificates.

    For a backend that verifies many: one object for all its threads, which need no lock. What it
    remembers of at most ``remembered`` certificates is the key, the path with the time in which
    all of it is valid, and the attestation; the least used are forgotten.

    Signatures by virtual tokens are refused unless ``accept_virtual``: the bank names them, for
    development and tests. ``attestations`` requires of each key with a display that a token
    attested it; without that, a token is virtual if it says so. ``revocation`` knows which
    certificates were taken back, and refuses those of which it knows nothing, or nothing that is
    new enough; without one, that is not looked at. ``losses`` is asked with each signature; of one
    that no screen showed, its host said which token it is, and only the bank's register can tell
    whose the certificate is.
    ``clock`` tells the time at which a signature must hold where none is given.

    Signatures that say of themselves that nothing was shown are refused, unless ``accept_blind``
    has the CA of keys without a display, and `verify_either` is called. That CA's key must not be
    among those of ``trust``, by any certificate, `InputInvalid` otherwise: a key without a display
    signs what its host wants, a receipt, too, and only its certificate tells the bank so.
    """

    def __init__(
        self,
        trust: TrustStore,
        *,
        accept_virtual: bool = False,
        accept_blind: TrustStore | None = None,
        attestations: AttestationPolicy | None = None,
        revocation: RevocationIndex | None = None,
        losses: LossRegister | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        remembered: int = 1 << 16,
    ) -> None:
        self._accept_virtual = accept_virtual
        self._attestations = attestations
        self._revocation = revocation
        self._losses = losses
        self._clock = clock
        self._remembered = remembered
        self.replace_trust(trust, accept_blind=accept_blind)

    def replace_trust(self, trust: TrustStore, *, accept_blind: TrustStore | None = None) -> None:
        """Trust these CAs from now on; what was remembered is forgotten."""
        if accept_blind is not None and accept_blind.shares_issuer(trust):
            raise InputInvalid(
                "one CA for keys with a display and for keys without",
                remedy="Let another CA certify keys without a display, or do not accept them.",
            )
        self._known = _Known(
            _Signers(trust, self._attestations, self._revocation, self._remembered),
            None
            if accept_blind is None
            else _Signers(accept_blind, None, self._revocation, self._remembered),
        )

    def forget(self) -> None:
        """Forget what was remembered, such as when an attestation was withdrawn."""
        known = self._known
        self.replace_trust(
            known.shown.trust, accept_blind=known.blind.trust if known.blind else None
        )

    def verify(self, signature: bytes, at: datetime | None = None) -> VerifiedTransaction:
        """Verify a signature (CMS SignedData in DER) over what a token showed.

        ``at`` is the time at which it must hold, an aware datetime; now by default. `InputInvalid`
        for a time without a zone. `TransactionRejected` carries the reason.

        Whether the transaction was expected, is in time or was seen before is for the caller to
        decide: this looks at the signature alone. What was seen before is known by its challenge,
        or by serial number and request id of the receipt.
        """
        known, at = self._known, self._moment(at)
        parsed = _parse(signature, known.shown)
        if isinstance(parsed.display, BlindStatement):
            raise _blind()
        return self._verify_shown(parsed, parsed.display, known.shown, at)

    def verify_either(
        self, signature: bytes, at: datetime | None = None
    ) -> VerifiedTransaction | BlindTransaction:
        """The same, and what no screen showed comes back, too, as a type of its own, where a CA is
        accepted for it.
        """
        known, at = self._known, self._moment(at)
        parsed = _parse(signature, known.shown)
        if not isinstance(parsed.display, BlindStatement):
            return self._verify_shown(parsed, parsed.display, known.shown, at)
        if known.blind is None:
            raise _blind()
        standing = known.blind.standing(parsed.certificate, at)
        standing.check_signature(parsed)
        self._check_virtual(parsed.display)
        self._check_lost(parsed.display.serial, at)
        return BlindTransaction(
            _read_message(parsed.message),
            parsed.certificate,
            standing.serial_number,
            standing.subjects,
            parsed.display,
        )

    def _moment(self, at: datetime | None) -> datetime:
        if at is None:
            return self._clock()
        if not isinstance(at, datetime) or at.utcoffset() is None:
            raise InputInvalid("the time at which a signature must hold has no time zone")
        return at

    def _verify_shown(
        self, parsed: ParsedSignature, receipt: Receipt, signers: _Signers, at: datetime
    ) -> VerifiedTransaction:
        standing = signers.standing(parsed.certificate, at)
        standing.check_signature(parsed)
        self._check_token(receipt, standing.attestation)
        self._check_lost(receipt.serial, at)
        message = _read_message(parsed.message)
        check_pages(message, receipt)
        return VerifiedTransaction(
            message,
            parsed.certificate,
            standing.serial_number,
            standing.subjects,
            receipt,
            standing.attestation,
        )

    def _check_token(self, receipt: Receipt, attestation: Attestation | None) -> None:
        self._check_virtual(receipt)
        if attestation is not None and (
            attestation.serial != receipt.serial or attestation.virtual is not receipt.virtual
        ):
            raise TransactionRejected(
                f"the receipt is by {receipt.serial}, the key belongs to {attestation.serial}",
                reason=RejectionReason.TOKEN_MISMATCH,
            )

    def _check_virtual(self, display: Receipt | BlindStatement) -> None:
        if display.virtual and not self._accept_virtual:
            raise TransactionRejected(
                f"signed by {display.serial}, a virtual token", reason=RejectionReason.VIRTUAL_TOKEN
            )

    def _check_lost(self, token: str, at: datetime) -> None:
        if self._losses is not None:
            lost = self._losses.lost_since(token)
            if lost is not None and lost <= at:
                raise TransactionRejected(
                    f"{token} was reported lost on {lost:%Y-%m-%d %H:%M:%S %Z}",
                    reason=RejectionReason.TOKEN_LOST,
                )


class _Signers:
    """What is known of the certificates that one trust store leads to."""

    __slots__ = ("_attestations", "_memory", "_read", "_revocation", "trust")

    def __init__(
        self,
        trust: TrustStore,
        attestations: AttestationPolicy | None,
        revocation: RevocationIndex | None,
        remembered: int,
    ) -> None:
        self.trust = trust
        self._attestations = attestations
        self._revocation = revocation
        self._memory: Memory[bytes, Standing] = Memory(remembered)
        self._read: tuple[bytes, ReadCertificate | None] = b"", None

    def identify(self, certificate: bytes) -> SignerIdentity:
        standing = self._memory.get(certificate)
        if standing is not None:
            return standing.identity
        # Its standing is asked for next, and to read it again would take as long.
        read = read_certificate(certificate)
        self._read = certificate, read
        return read[0]

    def standing(self, certificate: bytes, at: datetime) -> Standing:
        """The standing of a certificate that is good at ``at``; else `TransactionRejected`."""
        standing = self._memory.get(certificate)
        if standing is None:
            last, read = self._read
            standing = Standing.find(
                certificate,
                self.trust,
                self._attestations,
                at,
                read=read if last is certificate else None,
            )
            self._memory.put(certificate, standing)
        elif not standing.valid_from <= at <= standing.valid_until:
            # Another path, or the reason why there is none at that time.
            standing = Standing.find(certificate, self.trust, self._attestations, at)
        if self._revocation is not None:
            standing.check_revocation(self._revocation, at)
        return standing


class _Known(NamedTuple):
    """Replaced as one, never changed: a verification sees one state of it."""

    shown: _Signers
    blind: _Signers | None


@overload
def verify_transaction(
    signature: bytes,
    trust: TrustStore,
    at: datetime | None = None,
    *,
    accept_virtual: bool = False,
    accept_blind: None = None,
) -> VerifiedTransaction: ...
@overload
def verify_transaction(
    signature: bytes,
    trust: TrustStore,
    at: datetime | None = None,
    *,
    accept_virtual: bool = False,
    accept_blind: TrustStore,
) -> VerifiedTransaction | BlindTransaction: ...
def verify_transaction(
    signature: bytes,
    trust: TrustStore,
    at: datetime | None = None,
    *,
    accept_virtual: bool = False,
    accept_blind: TrustStore | None = None,
) -> VerifiedTransaction | BlindTransaction:
    """Verify one signature (CMS SignedData in DER), trusting the CAs of ``trust``.

    The simple face of `Verifier`, whose arguments these are, for a single signature: nothing is
    remembered.
    """
    verifier = Verifier(trust, accept_virtual=accept_virtual, accept_blind=accept_blind)
    if accept_blind is None:
        return verifier.verify(signature, at)
    return verifier.verify_either(signature, at)


def _blind() -> TransactionRejected:
    return TransactionRejected(
        "no screen showed what was signed", reason=RejectionReason.BLIND_SIGNATURE
    )


def _parse(signature: bytes, signers: _Signers) -> ParsedSignature:
    try:
        return parse_signed_data(signature, signers.identify)
    except SignedDataInvalid as error:
        raise TransactionRejected(str(error), reason=RejectionReason(error.fault.value)) from error


def _read_message(encoded: bytes) -> Message:
    try:
        return parse_message(encoded)
    except MessageInvalid as error:
        raise TransactionRejected(str(error), reason=RejectionReason.MESSAGE_INVALID) from error
