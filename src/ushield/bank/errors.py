"""What goes wrong with the bank's store, and with what it is asked to keep."""

from __future__ import annotations

from typing import ClassVar

from ushield.errors import InputInvalid, StoreError

__all__ = [
    "AuditBroken",
    "CertificateUnknown",
    "ChallengeSettled",
    "ChallengeUnknown",
    "ClockSkewed",
    "CustomerUnknown",
    "DuplicateEntry",
    "DuplicateOrder",
    "OutcomeUnknown",
    "StoreBusy",
    "StoreCorrupt",
    "StoreFull",
    "StoreOutdated",
    "StoreRestored",
    "StoreUnavailable",
    "TokenUnknown",
]


class StoreUnavailable(StoreError):
    """The database cannot be reached, went away, or takes no writes; nothing was done."""

    code = "store-unavailable"
    default_remedy = "Bring the database back, then repeat what you did."


class OutcomeUnknown(StoreUnavailable):
    """The database went away while it was committing: it was done, or it was not.

    For an acceptance, `Bank.challenge` tells which; repeating it is safe in either case.
    """

    code = "outcome-unknown"
    default_remedy = "Look the challenge up before anything else is done about it."


class StoreBusy(StoreError):
    """Others held the database for longer than the time allowed; nothing was done."""

    code = "store-busy"
    default_remedy = "Repeat it; if that happens often, give the database more room."


class StoreFull(StoreError):
    """The database has no room left; nothing was done."""

    code = "store-full"
    default_remedy = "Make room on the database's disk, then repeat what you did."


class StoreCorrupt(StoreError):
    """The database is damaged, or is none."""

    code = "store-corrupt"
    default_remedy = "Restore it from a backup, then confirm that: `ushield bank restored`."


class StoreOutdated(StoreError):
    """The database's tables are of another version than this program."""

    code = "store-outdated"
    default_remedy = "Bring the tables up to date: `ushield bank init`."


class StoreRestored(StoreError):
    """The database is not the one that was last used: a copy, or an earlier state of it.

    What was decided after the copy was made is missing in it, so challenges that were accepted may
    look as if they were not.
    """

    code = "store-restored"
    default_remedy = (
        "Make sure that the database it was copied from is not in use, then void its live"
        " challenges: `ushield bank restored`."
    )


class ClockSkewed(StoreError):
    """This machine's clock and the database's differ by more than is allowed."""

    code = "clock-skewed"
    default_remedy = "Set both clocks by NTP."
    carries: ClassVar[tuple[str, ...]] = ("seconds",)

    def __init__(self, message: str, *, seconds: float) -> None:
        super().__init__(message)
        self.seconds = seconds


class AuditBroken(StoreError):
    """The audit log is not what was signed; ``sequence`` is the first place where, if known.

    ``fault`` is one of ``changed``, ``gap``, ``truncated``, ``head-invalid``, ``unrecorded``.
    """

    code = "audit-broken"
    default_remedy = "Keep the database and its backups as they are, and find out who changed it."
    carries: ClassVar[tuple[str, ...]] = ("fault", "sequence")

    def __init__(self, message: str, *, fault: str, sequence: int | None = None) -> None:
        super().__init__(message)
        self.fault = fault
        self.sequence = sequence


class CustomerUnknown(InputInvalid):
    """The bank has no such customer."""

    code = "customer-unknown"
    default_remedy = "Register the customer first: `ushield bank register`, `bank enrol register`."


class TokenUnknown(InputInvalid):
    """No token of this serial number is registered."""

    code = "token-unknown"
    default_remedy = "Give the serial number of a token that was registered or enrolled."


class CertificateUnknown(InputInvalid):
    """The certificate is not enrolled."""

    code = "certificate-unknown"
    default_remedy = "Name a certificate that was enrolled, or that this CA issued."


class ChallengeUnknown(InputInvalid):
    """The bank issued no challenge of this id."""

    code = "challenge-not-found"
    default_remedy = "Give the id that `ushield bank issue` told."


class ChallengeSettled(InputInvalid):
    """The challenge is not live any more; ``state`` tells how it ended."""

    code = "challenge-settled"
    default_remedy = "Issue another one."
    carries: ClassVar[tuple[str, ...]] = ("state",)

    def __init__(self, message: str, *, state: str) -> None:
        super().__init__(message)
        self.state = state


class DuplicateEntry(InputInvalid):
    """It is registered already, and not with the same facts."""

    code = "duplicate-entry"
    default_remedy = "Look at what is registered: a token and a certificate have one customer."


class DuplicateOrder(InputInvalid):
    """The customer's order number stands in a challenge that is live, or was accepted.

    ``challenge`` is that one's id, ``state`` its state.
    """

    code = "duplicate-order"
    default_remedy = (
        "Use the challenge there is, withdraw it, or give the order a number of its own."
    )
    carries: ClassVar[tuple[str, ...]] = ("challenge", "state")

    def __init__(self, message: str, *, challenge: str, state: str) -> None:
        super().__init__(message)
        self.challenge = challenge
        self.state = state
