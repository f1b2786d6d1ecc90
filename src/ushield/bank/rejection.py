"""Why the bank does not accept a signature."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

from ushield.errors import UShieldError

__all__ = ["RejectionReason", "TransactionRejected"]


class RejectionReason(StrEnum):
    """Reasons, stable across releases; ``is_trust`` tells which are about the signer's standing."""

    TOO_LARGE = "too-large"
    NOT_DER = "not-der"
    NOT_SIGNED_DATA = "not-signed-data"
    CONTENT_MISSING = "content-missing"
    NO_SIGNER = "no-signer"
    SEVERAL_SIGNERS = "several-signers"
    ALGORITHM_REFUSED = "algorithm-refused"
    ATTRIBUTE_MISSING = "attribute-missing"
    ATTRIBUTE_DUPLICATE = "attribute-duplicate"
    ATTRIBUTE_UNKNOWN = "attribute-unknown"
    DIGEST_MISMATCH = "digest-mismatch"
    CERTIFICATE_MISMATCH = "certificate-mismatch"
    NOT_CANONICAL = "not-canonical"
    SIGNATURE_INVALID = "signature-invalid"
    MESSAGE_INVALID = "message-invalid"
    RECEIPT_INVALID = "receipt-invalid"
    BLIND_STATEMENT_INVALID = "blind-statement-invalid"
    BLIND_SIGNATURE = "blind-signature"
    POLICY_REFUSED = "policy-refused"
    BATCH_MISMATCH = "batch-mismatch"
    PAGES_MISMATCH = "pages-mismatch"
    CERTIFICATE_INVALID = "certificate-invalid"
    CERTIFICATE_EXPIRED = "certificate-expired"
    CERTIFICATE_NOT_YET_VALID = "certificate-not-yet-valid"
    CERTIFICATE_USAGE = "certificate-usage"
    CERTIFICATE_IS_CA = "certificate-is-ca"
    KEY_TOO_WEAK = "key-too-weak"
    ISSUER_UNKNOWN = "issuer-unknown"
    PATH_INVALID = "path-invalid"
    CERTIFICATE_REVOKED = "certificate-revoked"
    ISSUER_REVOKED = "issuer-revoked"
    REVOCATION_UNKNOWN = "revocation-unknown"
    REVOCATION_STALE = "revocation-stale"
    REVOCATION_GAP = "revocation-gap"
    TOKEN_LOST = "token-lost"  # noqa: S105 - a reason, not a secret
    VIRTUAL_TOKEN = "virtual-token"  # noqa: S105 - a reason, not a secret
    ATTESTATION_MISSING = "attestation-missing"
    ATTESTATION_INVALID = "attestation-invalid"
    TOKEN_MISMATCH = "token-mismatch"  # noqa: S105 - a reason, not a secret
    CHALLENGE_UNKNOWN = "challenge-unknown"
    CHALLENGE_REPLAYED = "challenge-replayed"
    CHALLENGE_EXPIRED = "challenge-expired"
    CHALLENGE_VOID = "challenge-void"
    CHALLENGE_PROPOSED = "challenge-proposed"
    CHALLENGE_MISMATCH = "challenge-mismatch"
    CONTENT_MISMATCH = "content-mismatch"
    CUSTOMER_MISMATCH = "customer-mismatch"
    CERTIFICATE_NOT_ENROLLED = "certificate-not-enrolled"
    CERTIFICATE_SUSPENDED = "certificate-suspended"
    COUNTER_REPEATED = "counter-repeated"
    COUNTER_WENT_BACK = "counter-went-back"

    @property
    def is_trust(self) -> bool:
        """The signature may be sound, but its signer is not trusted."""
        return self in _TRUST

    @property
    def is_policy(self) -> bool:
        """The signature and its signer may be sound, but the bank takes none of this kind."""
        return self in _POLICY


_TRUST = frozenset(
    (
        RejectionReason.CERTIFICATE_INVALID,
        RejectionReason.CERTIFICATE_EXPIRED,
        RejectionReason.CERTIFICATE_NOT_YET_VALID,
        RejectionReason.CERTIFICATE_USAGE,
        RejectionReason.CERTIFICATE_IS_CA,
        RejectionReason.KEY_TOO_WEAK,
        RejectionReason.ISSUER_UNKNOWN,
        RejectionReason.PATH_INVALID,
        RejectionReason.CERTIFICATE_REVOKED,
        RejectionReason.ISSUER_REVOKED,
        RejectionReason.REVOCATION_UNKNOWN,
        RejectionReason.REVOCATION_STALE,
        RejectionReason.REVOCATION_GAP,
        RejectionReason.TOKEN_LOST,
        RejectionReason.ATTESTATION_MISSING,
        RejectionReason.ATTESTATION_INVALID,
        RejectionReason.CERTIFICATE_NOT_ENROLLED,
        RejectionReason.CERTIFICATE_SUSPENDED,
    )
)

_POLICY = frozenset(
    (
        RejectionReason.BLIND_SIGNATURE,
        RejectionReason.VIRTUAL_TOKEN,
        RejectionReason.POLICY_REFUSED,
    )
)

_SIGN_AGAIN = "Do not carry the transaction out; have it signed again."
_REMEDY = {
    RejectionReason.CERTIFICATE_EXPIRED: "Renew the certificate, then sign again.",
    RejectionReason.CERTIFICATE_NOT_YET_VALID: "Check this machine's clock, then the certificate.",
    RejectionReason.ISSUER_UNKNOWN: "Check that the trusted CAs include the certificate's issuer.",
    RejectionReason.REVOCATION_UNKNOWN: "Give the verifier the CRL of the certificate's issuer.",
    RejectionReason.REVOCATION_STALE: "Fetch the issuer's new CRL, then verify again.",
    RejectionReason.REVOCATION_GAP: (
        "Add the issuer's CRL that was in force at that time, then verify again."
    ),
    RejectionReason.VIRTUAL_TOKEN: (
        "For development and tests, accept virtual tokens by name:"
        " `Verifier(.., accept_virtual=True)`, `ushield verify --accept-virtual`."
    ),
    RejectionReason.CHALLENGE_REPLAYED: "Look the challenge up; it stands for one transaction.",
    RejectionReason.CHALLENGE_EXPIRED: "Issue a new challenge and have it signed.",
    RejectionReason.CHALLENGE_VOID: "Issue a new challenge and have it signed.",
    RejectionReason.CHALLENGE_PROPOSED: "Hand a checker's signature to `ushield bank approve`.",
    RejectionReason.COUNTER_REPEATED: "Suspect a copy of the token; ask its holder.",
    RejectionReason.COUNTER_WENT_BACK: "Suspect a copy of the token; ask its holder.",
    RejectionReason.ATTESTATION_MISSING: "Enrol the token's attestation of the key.",
    RejectionReason.POLICY_REFUSED: (
        "Do not carry the transaction out; the rules named are the bank's own."
    ),
    RejectionReason.BLIND_SIGNATURE: (
        "Have it signed by a token with a screen, or accept blind signatures by name:"
        " `verify_transaction(.., accept_blind=..)`, `ushield verify --accept-blind CA`."
    ),
}
_TRUST_DEFAULT = "Do not carry the transaction out; the certificate is not one for signing it."


class TransactionRejected(UShieldError):
    """The bank does not accept this signature, for ``reason``."""

    code = "transaction-rejected"
    carries: ClassVar[tuple[str, ...]] = ("reason",)

    def __init__(self, message: str, *, reason: RejectionReason) -> None:
        default = _TRUST_DEFAULT if reason.is_trust else _SIGN_AGAIN
        super().__init__(message, remedy=_REMEDY.get(reason, default))
        self.reason = reason
