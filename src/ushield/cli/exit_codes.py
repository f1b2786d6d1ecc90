"""What the command's exit code says, for every error there is."""

from __future__ import annotations

from enum import IntEnum

from ushield import errors

__all__ = ["ExitCode", "exit_code"]


class ExitCode(IntEnum):
    """The documented exit codes; they do not change between releases."""

    DONE = 0
    USAGE = 2
    UNEXPECTED = 3
    NO_TOKEN = 10
    SEVERAL_TOKENS = 11
    TOKEN_BUSY = 12
    TOKEN_REMOVED = 13
    NO_DRIVER = 14
    PIN_WRONG = 20
    PIN_LOCKED = 21
    LAST_TRY_REFUSED = 22
    REJECTED = 30
    TIMED_OUT = 31
    CANNOT_DISPLAY = 32
    CANCELLED = 33
    NOT_VALID = 40
    NOT_TRUSTED = 41
    POLICY_REFUSED = 42
    INPUT_INVALID = 50
    STORE_FAILED = 60
    AUTHORITY_FAILED = 61
    INTERRUPTED = 130


_BY_ERROR: dict[type[errors.UShieldError], ExitCode] = {
    errors.UShieldError: ExitCode.UNEXPECTED,
    errors.InputInvalid: ExitCode.INPUT_INVALID,
    errors.SpecInvalid: ExitCode.USAGE,
    errors.TokenNotFound: ExitCode.NO_TOKEN,
    errors.AccessDenied: ExitCode.NO_TOKEN,
    errors.SlotEmpty: ExitCode.NO_TOKEN,
    errors.SeveralTokens: ExitCode.SEVERAL_TOKENS,
    errors.TokenBusy: ExitCode.TOKEN_BUSY,
    errors.TokenRemoved: ExitCode.TOKEN_REMOVED,
    errors.TokenUntrusted: ExitCode.NOT_TRUSTED,
    errors.NoDriver: ExitCode.NO_DRIVER,
    errors.CapabilityMissing: ExitCode.NO_DRIVER,
    errors.BlindSigningRefused: ExitCode.POLICY_REFUSED,
    errors.SlotOccupied: ExitCode.POLICY_REFUSED,
    errors.ObjectNotFound: ExitCode.INPUT_INVALID,
    errors.SeveralObjects: ExitCode.INPUT_INVALID,
    errors.KeyUsageRefused: ExitCode.POLICY_REFUSED,
    errors.SignatureMismatch: ExitCode.NOT_VALID,
    errors.PinError: ExitCode.PIN_WRONG,
    errors.PinLocked: ExitCode.PIN_LOCKED,
    errors.LastTryRefused: ExitCode.LAST_TRY_REFUSED,
    errors.PinEntryCancelled: ExitCode.CANCELLED,
    errors.PinEntryTimedOut: ExitCode.TIMED_OUT,
    errors.PinChangeRequired: ExitCode.POLICY_REFUSED,
    errors.ConfirmationError: ExitCode.REJECTED,
    errors.TimedOut: ExitCode.TIMED_OUT,
    errors.DisplayRefused: ExitCode.CANNOT_DISPLAY,
    errors.HostCancelled: ExitCode.CANCELLED,
    errors.ScreenBusy: ExitCode.TOKEN_BUSY,
    errors.RequestPending: ExitCode.UNEXPECTED,
    errors.RequestUnknown: ExitCode.UNEXPECTED,
    errors.StoreError: ExitCode.STORE_FAILED,
    errors.AuthorityError: ExitCode.AUTHORITY_FAILED,
}
# Their classes are in a package that is not loaded before it is used.
_BY_CODE = {
    "enrolment-refused": ExitCode.POLICY_REFUSED,
    "registration-code-refused": ExitCode.NOT_VALID,
    "unblock-refused": ExitCode.POLICY_REFUSED,
}
_VERDICTS = frozenset(("transaction-rejected", "policy-refused", "batch-mismatch"))


def exit_code(error: errors.UShieldError) -> ExitCode:
    """The exit code of the error's own class, or of the nearest one above it that has one."""
    if error.code in _VERDICTS:
        # The bank's verdict knows whether it is about the signature or about trust in its signer.
        from ushield.bank import TransactionRejected

        if isinstance(error, TransactionRejected):
            if error.reason.is_policy:
                return ExitCode.POLICY_REFUSED
            return ExitCode.NOT_TRUSTED if error.reason.is_trust else ExitCode.NOT_VALID
    if error.code in _BY_CODE:
        return _BY_CODE[error.code]
    return next(_BY_ERROR[cls] for cls in type(error).__mro__ if cls in _BY_ERROR)
