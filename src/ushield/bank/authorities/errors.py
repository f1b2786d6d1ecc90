"""What goes wrong between the bank and its CA."""

from __future__ import annotations

from typing import ClassVar

from ushield.errors import AuthorityError

__all__ = [
    "CaAnswerInvalid",
    "CaOutcomeUnknown",
    "CaPending",
    "CaRefused",
    "CaUnavailable",
]


class CaUnavailable(AuthorityError):
    """The CA could not be reached, or did not take the request; nothing was issued or revoked."""

    code = "ca-unavailable"
    default_remedy = "Look at the CA and the way there, then repeat it with the same transaction."


class CaOutcomeUnknown(CaUnavailable):
    """The CA may have done what it was asked for: its answer did not come, or cannot be believed.

    Repeat it with the same transaction id.
    """

    code = "ca-outcome-unknown"
    default_remedy = (
        "Repeat it with the same transaction. If the CA then says that it knows the transaction,"
        " ask whoever runs it what became of that."
    )


class CaRefused(AuthorityError):
    """The CA said no. ``failures`` are its reasons by the names of PKIFailureInfo (RFC 9810,
    5.2.3), ``status`` the name of its PKIStatus, ``text`` its own words, if it had any.
    """

    code = "ca-refused"
    default_remedy = "Read the CA's reason; ask again, with a new transaction, once it is gone."
    carries: ClassVar[tuple[str, ...]] = ("failures", "status", "text")

    def __init__(
        self,
        message: str,
        *,
        failures: tuple[str, ...] = (),
        status: str = "rejection",
        text: str = "",
        remedy: str | None = None,
    ) -> None:
        super().__init__(message, remedy=remedy)
        self.failures = failures
        self.status = status
        self.text = text


class CaAnswerInvalid(CaOutcomeUnknown):
    """An answer that is not the CA's, or not to what was asked: nothing in it is believed.

    ``fault`` is one of ``encoding``, ``length``, ``http``, ``protection``, ``transaction``,
    ``nonce``, ``unexpected``, ``key``, ``subject``, ``path``.
    """

    code = "ca-answer-invalid"
    default_remedy = (
        "Find out who answered. The CA may have done what it was asked for: repeat it with the"
        " same transaction."
    )
    carries: ClassVar[tuple[str, ...]] = ("fault",)

    def __init__(self, message: str, *, fault: str) -> None:
        super().__init__(message)
        self.fault = fault


class CaPending(AuthorityError):
    """The CA took the request and has not decided yet; ``check_after`` are the seconds it asks for.

    Nothing is lost: repeat it with the same transaction id then.
    """

    code = "ca-pending"
    default_remedy = "Repeat it with the same transaction later."
    carries: ClassVar[tuple[str, ...]] = ("check_after",)

    def __init__(self, message: str, *, check_after: int) -> None:
        super().__init__(message)
        self.check_after = check_after
