"""Where the service listens: this machine alone, unless both sides prove who they are by TLS."""

from __future__ import annotations

import ipaddress
import os
import re
import socket
import ssl
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ushield.bank.service.errors import AddressRefused

__all__ = ["Address", "MutualTls", "own_names"]

_LISTEN = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<host>[^:\[\]]+)):(?P<port>[0-9]{1,5})")
_BACKLOG = 128
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Address:
    """An IP address and port, or the path of a socket in the file system."""

    host: str = "127.0.0.1"
    port: int = 0
    path: str | None = None

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read ``HOST:PORT``, with an IPv6 address in brackets; `AddressRefused`."""
        match = _LISTEN.fullmatch(text)
        if match is None or int(match["port"]) > 65535:
            raise AddressRefused(
                f"{text}: HOST:PORT is due", remedy="Write it as 127.0.0.1:8443 or [::1]:8443."
            )
        host = match["v6"] or match["host"]
        if host == "localhost":
            host = "127.0.0.1"
        try:
            # A name could come to mean another address than when this was decided.
            ipaddress.ip_address(host)
        except ValueError:
            raise AddressRefused(f"{host}: an IP address is due, or localhost") from None
        return cls(host, int(match["port"]))

    @property
    def is_local(self) -> bool:
        """Only programs on this machine reach it."""
        return self.path is not None or ipaddress.ip_address(self.host).is_loopback

    def listen(self) -> socket.socket:
        """A socket that listens there; `AddressRefused` if it cannot be had.

        One in the file system is for this user and group. What another service that is gone has
        left of its own is taken away.
        """
        try:
            return _listen_on_path(self.path) if self.path else _listen_on_port(self)
        except OSError as error:
            raise AddressRefused(f"{self.path or self.host}: {error.strerror}") from error

    def url(self, listening: socket.socket, *, tls: bool) -> str:
        """How clients name it."""
        if self.path is not None:
            return f"unix:{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if tls else 'http'}://{host}:{listening.getsockname()[1]}"


@dataclass(frozen=True, slots=True)
class MutualTls:
    """Files (PEM): the server's certificate with its chain, its key, the CAs of its clients."""

    certificate: str
    key: str
    client_ca: str

    def context(self) -> ssl.SSLContext:
        """TLS 1.2 or later, and only for clients with a certificate; `AddressRefused`."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.verify_mode = ssl.CERT_REQUIRED
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        # A session that is resumed was opened with a certificate that may be refused by now.
        context.num_tickets = 0
        context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
        try:
            if stat.S_IMODE(os.stat(self.key).st_mode) & stat.S_IRWXO:
                raise AddressRefused(
                    f"{self.key}: other users may read this key", remedy=f"chmod o= {self.key}"
                )
            context.load_cert_chain(self.certificate, self.key, password=_no_password)
            context.load_verify_locations(self.client_ca)
        except (OSError, ValueError) as error:
            raise AddressRefused(
                f"{self.certificate}, {self.key}, {self.client_ca}: not a certificate, its key"
                " (without a password) and CAs in PEM",
                remedy="Check that the files are there, and fit one another.",
            ) from error
        return context

    def names(self) -> frozenset[str]:
        """The names and addresses in the server's certificate."""
        from cryptography import x509

        certificate = x509.load_pem_x509_certificates(Path(self.certificate).read_bytes())[0]
        try:
            found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        except x509.ExtensionNotFound:
            return frozenset()
        addresses = found.value.get_values_for_type(x509.IPAddress)
        return frozenset((*found.value.get_values_for_type(x509.DNSName), *map(str, addresses)))


def own_names(address: Address, tls: MutualTls | None) -> frozenset[str]:
    """The names by which clients may call the service there."""
    names = frozenset() if tls is None else tls.names()
    return names | frozenset(_LOOPBACK) if address.is_local else names


def _listen_on_port(address: Address) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((address.host, address.port))
        listening.listen(_BACKLOG)
    except BaseException:
        listening.close()
        raise
    return listening


def _listen_on_path(path: str) -> socket.socket:
    _take_away(path)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o117)
    try:
        listening.bind(path)
        listening.listen(_BACKLOG)
    except BaseException:
        listening.close()
        raise
    finally:
        os.umask(before)
    return listening


def _take_away(path: str) -> None:
    """Unlink a socket on which nobody listens."""
    with suppress(FileNotFoundError):
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            raise AddressRefused(f"{path}: there is something else")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as trying:
            try:
                trying.connect(path)
            except ConnectionRefusedError:
                os.unlink(path)
            else:
                raise AddressRefused(f"{path}: another program listens there")


def _no_password() -> str:
    raise ValueError("the key has a password")
