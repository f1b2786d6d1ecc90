"""Where CRLs come from: files and HTTP, each with an end to its size and its time."""

from __future__ import annotations

import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from functools import partial
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Protocol

from ushield.bank.bounded_http import BoundedConnection, BoundedTlsConnection, Deadline
from ushield.bank.revocation.crl import MAX_CRL
from ushield.errors import InputInvalid, UShieldError

__all__ = ["FileSource", "HttpSource", "RevocationSource", "RevocationUnavailable"]


class RevocationUnavailable(UShieldError):
    """Revocation data could not be fetched; what was known before stays in force."""

    code = "revocation-unavailable"
    default_remedy = "Check the address and the way there; fetching goes on by itself."


class RevocationSource(Protocol):
    """A place that has a CRL."""

    @property
    def name(self) -> str:
        """What to call it in messages."""

    def fetch(self) -> bytes:
        """The CRL as it is now, in bounded time; `RevocationUnavailable` if it is not to be had."""


@dataclass(frozen=True, slots=True)
class FileSource:
    """A file that something else keeps up to date."""

    path: Path

    @property
    def name(self) -> str:
        """The path."""
        return str(self.path)

    def fetch(self) -> bytes:
        """The file's bytes."""
        try:
            with self.path.open("rb") as file:
                return _at_most(file.read(MAX_CRL + 1), self.name)
        except OSError as error:
            raise RevocationUnavailable(f"{self.name}: {error.strerror or error}") from error


@dataclass(frozen=True, slots=True)
class HttpSource:
    """A distribution point (RFC 5280, 4.2.1.13), by HTTP or HTTPS.

    ``timeout`` is the seconds that all of it may take, ``body`` what is posted, such as an OCSP
    request with its ``content_type``. `InputInvalid` for a URL of another kind.
    """

    url: str
    timeout: float = 20.0
    body: bytes | None = None
    content_type: str = "application/ocsp-request"

    def __post_init__(self) -> None:
        parts = urllib.parse.urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InputInvalid(f"{self.url}: only http and https are fetched")
        if not self.timeout > 0:
            raise InputInvalid("a timeout above zero seconds")

    @property
    def name(self) -> str:
        """The URL."""
        return self.url

    def fetch(self) -> bytes:
        """The body of the answer."""
        deadline = Deadline(time.monotonic() + self.timeout)
        headers = {} if self.body is None else {"Content-Type": self.content_type}
        # The scheme was looked at before.
        request = urllib.request.Request(self.url, self.body, headers)  # noqa: S310
        try:
            with _opener(deadline).open(request, timeout=self.timeout) as answer:
                read = _at_most(answer.read(MAX_CRL + 1), self.url)
                if not deadline.left:
                    # What was cut short looks like an end, where the server told no length.
                    raise TimeoutError(f"not read within {self.timeout:g} s")
                return read
        except (OSError, HTTPException, ValueError) as error:
            told = error if deadline.left else f"no answer within {self.timeout:g} s"
            raise RevocationUnavailable(f"{self.url}: {told}") from error
        finally:
            deadline.release()


class _HttpHandler(urllib.request.HTTPHandler):
    def __init__(self, deadline: Deadline) -> None:
        super().__init__()
        self._deadline = deadline

    def http_open(self, request: urllib.request.Request) -> HTTPResponse:
        return self.do_open(partial(BoundedConnection, deadline=self._deadline), request)


class _HttpsHandler(urllib.request.HTTPSHandler):
    def __init__(self, deadline: Deadline) -> None:
        super().__init__()
        self._deadline = deadline

    def https_open(self, request: urllib.request.Request) -> HTTPResponse:
        return self.do_open(
            partial(BoundedTlsConnection, deadline=self._deadline),
            request,
            context=ssl.create_default_context(),
        )


def _opener(deadline: Deadline) -> urllib.request.OpenerDirector:
    """What urllib opens by default, without files and FTP, where a redirection could lead."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        _HttpHandler(deadline),
        _HttpsHandler(deadline),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    return opener


def _at_most(data: bytes, name: str) -> bytes:
    if len(data) > MAX_CRL:
        raise RevocationUnavailable(f"{name}: more than {MAX_CRL} bytes")
    return data
