"""Errors as problem details (RFC 9457), and the status that each kind of them has."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ushield import errors as general
from ushield.bank import errors as bank
from ushield.bank.approval import ledger as approval
from ushield.bank.archive import errors as archive
from ushield.bank.authorities import errors as authorities
from ushield.bank.lifecycle import refusals as lifecycle
from ushield.bank.rejection import RejectionReason, TransactionRejected
from ushield.bank.revocation import sources
from ushield.bank.service import errors as service
from ushield.errors import UShieldError

__all__ = ["MEDIA_TYPE", "headers_of", "problem", "status_of", "statuses", "title_of"]

MEDIA_TYPE = "application/problem+json"

# The nearest class of an error's ancestors counts. 400: not as the document says; 422: as it says,
# and the bank refuses it. 503: nothing was done; 504: nobody knows.
_STATUS: dict[type[UShieldError], int] = {
    UShieldError: 500,
    general.InputInvalid: 422,
    general.StoreError: 503,
    TransactionRejected: 422,
    bank.CustomerUnknown: 404,
    bank.TokenUnknown: 404,
    bank.CertificateUnknown: 404,
    bank.ChallengeUnknown: 404,
    bank.ChallengeSettled: 409,
    bank.DuplicateEntry: 409,
    bank.DuplicateOrder: 409,
    bank.OutcomeUnknown: 504,
    bank.AuditBroken: 409,
    archive.ArchiveStalled: 504,
    sources.RevocationUnavailable: 503,
    approval.ProposalUnknown: 404,
    approval.ProposalExists: 409,
    approval.LedgerConflict: 503,
    lifecycle.EnrolmentRefused: 422,
    lifecycle.EnrolmentUnknown: 404,
    lifecycle.EnrolmentSettled: 409,
    lifecycle.UnblockRefused: 422,
    lifecycle.UnblockUnknown: 404,
    lifecycle.UnblockSettled: 409,
    general.AuthorityError: 503,
    authorities.CaRefused: 422,
    authorities.CaOutcomeUnknown: 504,
    service.RequestInvalid: 400,
    service.CallerUnknown: 401,
    service.NotPermitted: 403,
    service.OriginRefused: 403,
    service.RouteUnknown: 404,
    service.MethodUnknown: 405,
    service.BodyTooSlow: 408,
    service.BodyTooLarge: 413,
    service.MediaTypeUnsupported: 415,
    service.HostUnknown: 421,
    service.TooManyRequests: 429,
    service.ServiceConfigurationInvalid: 503,
    service.NotServed: 501,
    service.Overloaded: 503,
    service.DeadlinePassed: 504,
}
_BY_REASON = {
    RejectionReason.CHALLENGE_UNKNOWN: 404,
    RejectionReason.CHALLENGE_REPLAYED: 409,
    RejectionReason.CHALLENGE_PROPOSED: 409,
}
_RETRY_AFTER: dict[type[UShieldError], int] = {
    bank.StoreUnavailable: 5,
    bank.StoreBusy: 1,
    service.Overloaded: 1,
    authorities.CaUnavailable: 30,
}
_PHRASES = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    409: "Conflict",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    421: "Misdirected Request",
    422: "Unprocessable Content",
    429: "Too Many Requests",
    500: "Internal Server Error",
    501: "Not Implemented",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}


def status_of(error: UShieldError) -> int:
    """The HTTP status (RFC 9110) of an error."""
    if isinstance(error, TransactionRejected):
        return _BY_REASON.get(error.reason, 422)
    return _of_class(type(error), _STATUS)


def statuses(*kinds: type[UShieldError]) -> frozenset[int]:
    """All statuses that errors of these kinds can have."""
    found = {_of_class(kind, _STATUS) for kind in kinds}
    if any(issubclass(kind, TransactionRejected) for kind in kinds):
        found |= set(_BY_REASON.values())
    return frozenset(found)


def problem(error: UShieldError, *, request_id: str | None = None) -> dict[str, Any]:
    """The problem's members: ``code``, ``reason`` and ``rule`` for programs, ``detail`` for people.

    What went wrong on the server's own side is told by the error's kind alone: the words of a
    database are for its log.
    """
    status = status_of(error)
    found: dict[str, Any] = {
        "type": "about:blank",
        "title": title_of(status),
        "status": status,
        "detail": _kind(type(error)) if status >= 500 else str(error),
        "code": error.code,
        "remedy": error.remedy,
    }
    if request_id is not None:
        found["instance"] = f"urn:uuid:{request_id}"
    found |= {name: _plain(value) for name, value in error.facts.items() if value is not None}
    return found


def title_of(status: int) -> str:
    """The phrase of a status."""
    return _PHRASES[status]


def headers_of(error: UShieldError) -> Mapping[str, str]:
    """The headers that go with a problem."""
    if isinstance(error, service.CallerUnknown):
        return {"WWW-Authenticate": 'Bearer realm="ushield"'}
    if isinstance(error, service.TooManyRequests):
        return {"Retry-After": str(math.ceil(error.retry_after))}
    if isinstance(error, authorities.CaPending):
        return {"Retry-After": str(error.check_after)}
    if isinstance(error, bank.OutcomeUnknown | authorities.CaOutcomeUnknown):
        return {}
    for kind, seconds in _RETRY_AFTER.items():
        if isinstance(error, kind):
            return {"Retry-After": str(seconds)}
    return {}


def _of_class(kind: type[UShieldError], table: Mapping[type[UShieldError], int]) -> int:
    return next(table[each] for each in kind.__mro__ if each in table)


def _kind(kind: type[UShieldError]) -> str:
    return (kind.__doc__ or "").strip().partition("\n")[0]


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
