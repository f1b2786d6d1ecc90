"""One message there and one back, by HTTP (RFC 9811), with an end to size and time."""

from __future__ import annotations

import ssl
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse
from urllib.parse import urlsplit

from ushield.bank.authorities.cmp.message import MAX_MESSAGE
from ushield.bank.authorities.errors import CaAnswerInvalid, CaOutcomeUnknown, CaUnavailable
from ushield.bank.bounded_http import BoundedConnection, BoundedTlsConnection, Deadline
from ushield.errors import InputInvalid

__all__ = ["CmpEndpoint"]

_TYPE = "application/pkixcmp"


@dataclass(frozen=True, slots=True)
class CmpEndpoint:
    """Where the CA takes messages; `InputInvalid` unless it is an http or https URL.

    Messages protect themselves: https hides them, and is not needed to believe them.
    """

    url: str

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.url)
            valid = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        except ValueError:
            valid = False
        if not valid or not self.url.isascii() or not self.url.isprintable() or " " in self.url:
            raise InputInvalid("the CA's address is an http or https URL")

    def exchange(self, message: bytes, deadline: float) -> bytes:
        """What is answered to ``message``, before ``deadline`` (`time.monotonic`).

        `CaUnavailable` if the message was not sent; `CaOutcomeUnknown` if it may have been and no
        answer came; `CaAnswerInvalid` for one that is too long or not CMP.
        """
        bound = Deadline(deadline)
        try:
            with closing(self._connect(bound)) as connection:
                return self._ask(connection, message)
        finally:
            bound.release()

    def _connect(self, deadline: Deadline) -> HTTPConnection:
        parts = urlsplit(self.url)
        if not deadline.left:
            raise CaUnavailable(f"{self.url}: no time left to ask")
        host = parts.hostname or ""
        connection: HTTPConnection
        if parts.scheme == "https":
            connection = BoundedTlsConnection(
                host,
                parts.port,
                timeout=deadline.left,
                context=ssl.create_default_context(),
                deadline=deadline,
            )
        else:
            connection = BoundedConnection(
                host, parts.port, timeout=deadline.left, deadline=deadline
            )
        try:
            connection.connect()
        except (OSError, UnicodeError) as error:
            raise CaUnavailable(f"{self.url}: {_reason(error)}") from error
        return connection

    def _ask(self, connection: HTTPConnection, message: bytes) -> bytes:
        try:
            return self._answer(connection, message)
        except (OSError, HTTPException, ValueError) as error:
            raise CaOutcomeUnknown(f"{self.url}: no answer came: {_reason(error)}") from error

    def _answer(self, connection: HTTPConnection, message: bytes) -> bytes:
        parts = urlsplit(self.url)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        headers = {"Content-Type": _TYPE, "Connection": "close"}
        connection.request("POST", target, message, headers)
        answer: HTTPResponse = connection.getresponse()
        # Errors of CMP come with a status of an error of HTTP, too (RFC 9811, 3.3).
        kind = (answer.getheader("Content-Type") or "").partition(";")[0].strip().lower()
        if kind != _TYPE:
            raise CaAnswerInvalid(
                f"{self.url}: answered HTTP {answer.status}, and not by CMP", fault="http"
            )
        data = answer.read(MAX_MESSAGE + 1)
        if len(data) > MAX_MESSAGE:
            raise CaAnswerInvalid(f"{self.url}: more than {MAX_MESSAGE} bytes", fault="length")
        if answer.length:
            raise CaAnswerInvalid(f"{self.url}: the answer was cut short", fault="length")
        return data


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or type(error).__name__
