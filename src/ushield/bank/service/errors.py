"""What the service refuses by itself, before or instead of asking the bank."""

from __future__ import annotations

from typing import ClassVar

from ushield.errors import InputInvalid, UShieldError

__all__ = [
    "AddressRefused",
    "BodyTooLarge",
    "BodyTooSlow",
    "CallerUnknown",
    "DeadlinePassed",
    "HostUnknown",
    "MediaTypeUnsupported",
    "MethodUnknown",
    "NotPermitted",
    "NotServed",
    "OriginRefused",
    "Overloaded",
    "RequestInvalid",
    "RouteUnknown",
    "ServiceConfigurationInvalid",
    "ServiceError",
    "TooManyRequests",
    "Unexpected",
]


class ServiceError(UShieldError):
    """The service did not do what was asked."""

    code = "service-error"


class Unexpected(ServiceError):
    """A mistake in the service itself; its log has more, under this request's id."""

    code = "unexpected"
    default_remedy = "Report it, with the lines of the service's log that have this request's id."


class RequestInvalid(ServiceError):
    """A request that the OpenAPI document does not allow; ``field`` names the culprit.

    ``field`` is a JSON pointer (RFC 6901) into the body, or the name of a parameter.
    """

    code = "request-invalid"
    default_remedy = "Compare the request with the document at /openapi.json."
    carries: ClassVar[tuple[str, ...]] = ("field",)

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class RouteUnknown(ServiceError):
    """There is nothing at this path."""

    code = "route-unknown"
    default_remedy = "The document at /openapi.json lists all paths."


class MethodUnknown(ServiceError):
    """The path is there, but not with this method."""

    code = "method-unknown"
    default_remedy = "The document at /openapi.json lists each path's methods."


class MediaTypeUnsupported(ServiceError):
    """The body is of a type that is not taken here."""

    code = "media-type-unsupported"
    default_remedy = "Send JSON in UTF-8, with Content-Type: application/json."


class BodyTooLarge(ServiceError):
    """The body is longer than this operation takes."""

    code = "body-too-large"
    default_remedy = "Send less at once."


class BodyTooSlow(ServiceError):
    """The body did not arrive in time; nothing was done."""

    code = "body-too-slow"
    default_remedy = "Send the whole request at once."


class CallerUnknown(ServiceError):
    """The request has no token or certificate of a client of this service."""

    code = "caller-unknown"
    default_remedy = "Register the client: `ushield bank client add`."


class NotPermitted(ServiceError):
    """The client has none of the ``roles`` that may do this."""

    code = "not-permitted"
    default_remedy = "Let a client do it that has one of these roles."
    carries: ClassVar[tuple[str, ...]] = ("roles",)

    def __init__(self, message: str, *, roles: tuple[str, ...]) -> None:
        super().__init__(message)
        self.roles = roles


class OriginRefused(ServiceError):
    """A browser sent this for a web page, and no page may use the service."""

    code = "origin-refused"
    default_remedy = "Call the service from the backend, never from a page."


class HostUnknown(ServiceError):
    """The request is for a host name that this service does not have."""

    code = "host-unknown"
    default_remedy = "Call it by a name of its own, or give it this one: `--host`."


class TooManyRequests(ServiceError):
    """More requests than are allowed; ``retry_after`` seconds until the next one is."""

    code = "too-many-requests"
    default_remedy = "Send the request again later, at the time told."
    carries: ClassVar[tuple[str, ...]] = ("retry_after",)

    def __init__(self, message: str, *, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Overloaded(ServiceError):
    """Too much is being worked on already; nothing was done."""

    code = "overloaded"
    default_remedy = "Repeat it a little later; if that happens often, run more services."


class DeadlinePassed(ServiceError):
    """The bank did not answer in time: it was done, it will be, or it was not."""

    code = "deadline-passed"
    default_remedy = "Ask what became of it before anything else is done about it."


class NotServed(ServiceError):
    """This service lacks what this takes: a key, a CA, a policy."""

    code = "not-served"
    default_remedy = "Do it where that is, or give it to this service."


class ServiceConfigurationInvalid(InputInvalid):
    """A bank's ``service.toml`` that says something else than it may, or that others may change."""

    code = "service-configuration-invalid"
    default_remedy = "Correct service.toml, or have it written: `ushield bank client add`."


class AddressRefused(InputInvalid):
    """The service does not listen there: it is open to others, or cannot be had."""

    code = "address-refused"
    default_remedy = (
        "Listen on 127.0.0.1 or on a socket in the file system, or serve mutual TLS:"
        " --certificate, --key, --client-ca."
    )
