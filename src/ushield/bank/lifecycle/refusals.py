"""Why the bank does not enrol a token, or unblock one."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

from ushield.errors import InputInvalid, UShieldError

__all__ = [
    "CodeReason",
    "EnrolmentReason",
    "EnrolmentRefused",
    "EnrolmentSettled",
    "EnrolmentUnknown",
    "RegistrationCodeRefused",
    "UnblockChallengeInvalid",
    "UnblockReason",
    "UnblockRefused",
    "UnblockSettled",
    "UnblockUnknown",
]


class CodeReason(StrEnum):
    """Why a registration code is not taken; nobody learns whether a code that is wrong exists."""

    WRONG = "wrong"
    EXPIRED = "expired"
    VOID = "void"
    USED = "used"


class EnrolmentReason(StrEnum):
    """Why a token's key gets no certificate; stable across releases."""

    ALGORITHM_REFUSED = "algorithm-refused"
    ATTESTATION_INVALID = "attestation-invalid"
    VIRTUAL_TOKEN = "virtual-token"  # noqa: S105 - a reason, not a secret
    TOKEN_MISMATCH = "token-mismatch"  # noqa: S105 - a reason, not a secret
    TOKEN_FOREIGN = "token-foreign"  # noqa: S105 - a reason, not a secret
    TOKEN_LOST = "token-lost"  # noqa: S105 - a reason, not a secret
    CERTIFICATE_NOT_ACTIVE = "certificate-not-active"
    CERTIFICATE_EXPIRED = "certificate-expired"
    NOT_AUTHORISED = "not-authorised"


class UnblockReason(StrEnum):
    """Why the bank answers no unblock challenge; stable across releases."""

    TOKEN_UNKNOWN = "token-unknown"  # noqa: S105 - a reason, not a secret
    TOKEN_FOREIGN = "token-foreign"  # noqa: S105 - a reason, not a secret
    TOKEN_LOST = "token-lost"  # noqa: S105 - a reason, not a secret
    CHALLENGE_SUPERSEDED = "challenge-superseded"
    CHALLENGE_UNPROVED = "challenge-unproved"
    COUNTER_WENT_BACK = "counter-went-back"
    SAME_CLERK = "same-clerk"
    EXPIRED = "expired"


_REPLACED = "Register the customer for another token: `ushield bank enrol register`."
_ENROLMENT_REMEDY = {
    EnrolmentReason.ALGORITHM_REFUSED: "Make a key of another kind: `ushield key generate`.",
    EnrolmentReason.VIRTUAL_TOKEN: (
        "Enrol a token of hardware, or, for playing, set `virtual_tokens` in [enrolment]."
    ),
    EnrolmentReason.TOKEN_MISMATCH: "Enrol the token that was handed out.",
    EnrolmentReason.TOKEN_FOREIGN: _REPLACED,
    EnrolmentReason.TOKEN_LOST: _REPLACED,
    EnrolmentReason.CERTIFICATE_NOT_ACTIVE: _REPLACED,
    EnrolmentReason.CERTIFICATE_EXPIRED: (
        "Register the customer anew: `ushield bank enrol register`."
    ),
    EnrolmentReason.NOT_AUTHORISED: (
        "Have the renewal signed by the old key, then hand that in: `ushield bank accept`."
    ),
}
_UNBLOCK_REMEDY = {
    UnblockReason.COUNTER_WENT_BACK: (
        "Suspect a copy of the token; ask its holder. Another token helps the customer."
    ),
    UnblockReason.CHALLENGE_SUPERSEDED: "Have the token make another challenge, and request that.",
    UnblockReason.CHALLENGE_UNPROVED: (
        "Have the customer's own token make a challenge; ask who brought this one."
    ),
    UnblockReason.SAME_CLERK: "Let another clerk decide.",
    UnblockReason.EXPIRED: "Have the token make another challenge, and request that.",
}


class RegistrationCodeRefused(InputInvalid):
    """The registration code opens no enrolment, for ``reason``."""

    code = "registration-code-refused"
    default_remedy = (
        "Read the code again; a code that is used, old or void is replaced by the bank."
    )
    carries: ClassVar[tuple[str, ...]] = ("reason",)

    def __init__(self, message: str, *, reason: CodeReason) -> None:
        super().__init__(message)
        self.reason = reason


class EnrolmentRefused(UShieldError):
    """The bank issues no certificate for this key, for ``reason``."""

    code = "enrolment-refused"
    default_remedy = "Enrol a key that the customer's own token made and attests."
    carries: ClassVar[tuple[str, ...]] = ("reason",)

    def __init__(self, message: str, *, reason: EnrolmentReason) -> None:
        super().__init__(message, remedy=_ENROLMENT_REMEDY.get(reason))
        self.reason = reason


class EnrolmentUnknown(InputInvalid):
    """The bank has no enrolment of this id."""

    code = "enrolment-unknown"
    default_remedy = "Give the id that `ushield bank enrol register` told, or `renew begin` did."


class EnrolmentSettled(InputInvalid):
    """The enrolment is past this, or not as far; ``state`` tells where it stands."""

    code = "enrolment-settled"
    default_remedy = (
        "Look where it stands, `ushield bank enrol show`; or register the customer anew."
    )
    carries: ClassVar[tuple[str, ...]] = ("state",)

    def __init__(self, message: str, *, state: str) -> None:
        super().__init__(message)
        self.state = state


class UnblockChallengeInvalid(InputInvalid):
    """Bytes that are no answer of a token to UNBLOCK CHALLENGE."""

    code = "unblock-challenge-invalid"
    default_remedy = "Ask the token for a challenge: `ushield pin unblock-remote`."


class UnblockRefused(UShieldError):
    """The bank does not answer this unblock challenge, for ``reason``."""

    code = "unblock-refused"
    default_remedy = "Find out why; the PUK, or another token, helps the customer, too."
    carries: ClassVar[tuple[str, ...]] = ("reason",)

    def __init__(self, message: str, *, reason: UnblockReason) -> None:
        super().__init__(message, remedy=_UNBLOCK_REMEDY.get(reason))
        self.reason = reason


class UnblockUnknown(InputInvalid):
    """The bank has no unblock request of this id."""

    code = "unblock-unknown"
    default_remedy = "Give the id that `ushield bank unblock request` told."


class UnblockSettled(InputInvalid):
    """The unblock request is decided already; ``state`` tells how."""

    code = "unblock-settled"
    default_remedy = "Have the token make another challenge, and request that."
    carries: ClassVar[tuple[str, ...]] = ("state",)

    def __init__(self, message: str, *, state: str) -> None:
        super().__init__(message)
        self.state = state
