"""Why the bank does not accept a signature."""

from __future__ import annotations

from enum import StrEnum

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
    PAGES_MISMATCH = "pages-mismatch"
    CERTIFICATE_INVALID = "certificate-invalid"
    CERTIFICATE_EXPIRED = "certificate-expired"
    CERTIFICATE_NOT_YET_VALID = "certificate-not-yet-valid"
    CERTIFICATE_USAGE = "certificate-usage"
    CERTIFICATE_IS_CA = "certificate-is-ca"
    KEY_TOO_WEAK = "key-too-weak"
    ISSUER_UNKNOWN = "issuer-unknown"
    PATH_INVALID = "path-invalid"

    @property
    def is_trust(self) -> bool:
        """The signature may be sound, but its signer is not trusted."""
        return self in _TRUST


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
    )
)

_SIGN_AGAIN = "Do not carry the transaction out; have it signed again."
_TRUST_REMEDY = {
    RejectionReason.CERTIFICATE_EXPIRED: "Renew the certificate, then sign again.",
    RejectionReason.CERTIFICATE_NOT_YET_VALID: "Check this machine's clock, then the certificate.",
    RejectionReason.ISSUER_UNKNOWN: "Check that the trusted CAs include the certificate's issuer.",
}
_BLIND_REMEDY = (
    "Have it signed by a token with a screen, or accept blind signatures by name:"
    " `verify_transaction(.., accept_blind=..)`, `ushield verify --accept-blind CA`."
)
_TRUST_DEFAULT = "Do not carry the transaction out; the certificate is not one for signing it."


class TransactionRejected(UShieldError):
    """The bank does not accept this signature, for ``reason``."""

    code = "transaction-rejected"
    carries = ("reason",)

    def __init__(self, message: str, *, reason: RejectionReason) -> None:
        if reason.is_trust:
            remedy = _TRUST_REMEDY.get(reason, _TRUST_DEFAULT)
        else:
            remedy = _BLIND_REMEDY if reason is RejectionReason.BLIND_SIGNATURE else _SIGN_AGAIN
        super().__init__(message, remedy=remedy)
        self.reason = reason
