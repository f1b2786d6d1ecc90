"""The section ``[authority]`` of ``bank.toml``: who issues certificates for the bank."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ushield.bank.moments import Clock, system_clock
from ushield.bank.settings import ConfigurationInvalid, check_kinds

if TYPE_CHECKING:
    from cryptography import x509

    from ushield.bank.authorities.cmp.client import CmpAuthority
    from ushield.bank.authorities.cmp.protection import Protection
    from ushield.bank.authorities.crl_publisher import CrlPublisher
    from ushield.bank.authorities.embedded import EmbeddedAuthority
    from ushield.bank.authorities.key import AuthorityKey
    from ushield.bank.authorities.ocsp_responder import OcspResponder
    from ushield.bank.authorities.protocol import CertificateAuthority
    from ushield.bank.store.store import Store

__all__ = ["AuthoritySettings", "CmpSettings", "EmbeddedSettings", "read_authority"]

_SECTION = "authority."
_URL = re.compile("(https?|ldap)://[!-~]+")


class AuthoritySettings(Protocol):
    """What one kind of CA is told by ``bank.toml``."""

    def open(self, store: Store, *, clock: Clock = system_clock) -> CertificateAuthority:
        """The CA; `ConfigurationInvalid` or `InputInvalid` for its files. It asks nobody yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedSettings:
    """A CA in the bank's own database: ``kind = "embedded"``.

    ``key`` and ``certificate`` are its files (PEM), ``passphrase_file`` has the key's passphrase
    on its first line. ``crl`` is the file that its CRL is published to, which lives for
    ``crl_hours``; ``crl_urls`` and ``ocsp_urls`` go into certificates.
    """

    key: Path
    certificate: Path
    crl: Path
    passphrase_file: Path | None = None
    crl_hours: int = 24
    crl_urls: tuple[str, ...] = ()
    ocsp_urls: tuple[str, ...] = ()

    def open(self, store: Store, *, clock: Clock = system_clock) -> EmbeddedAuthority:
        """See `AuthoritySettings.open`."""
        from ushield.bank.authorities.certificates import PublicationPoints
        from ushield.bank.authorities.embedded import EmbeddedAuthority

        points = PublicationPoints(crl=self.crl_urls, ocsp=self.ocsp_urls)
        return EmbeddedAuthority(store, self.load_key(), points=points, clock=clock)

    def crl_publisher(self, store: Store, *, clock: Clock = system_clock) -> CrlPublisher:
        """What publishes its CRL."""
        from ushield.bank.authorities.crl_publisher import CrlPublisher

        lifetime = timedelta(hours=self.crl_hours)
        return CrlPublisher(store, self.load_key(), lifetime=lifetime, clock=clock)

    def ocsp_responder(self, store: Store, *, clock: Clock = system_clock) -> OcspResponder:
        """What answers OCSP, by the CA's own key."""
        from ushield.bank.authorities.ocsp_responder import OcspResponder

        return OcspResponder(store, self.load_key(), clock=clock)

    def load_key(self) -> AuthorityKey:
        """The CA's key and certificates; `InputInvalid`."""
        from ushield.bank.authorities.key import AuthorityKey, read_passphrase

        passphrase = None if self.passphrase_file is None else read_passphrase(self.passphrase_file)
        return AuthorityKey.load(self.key, self.certificate, passphrase=passphrase)


@dataclass(frozen=True, slots=True, kw_only=True)
class CmpSettings:
    """A CA elsewhere, by CMP: ``kind = "cmp"``.

    ``chain`` has the issuing CA's certificate and those above it (PEM). Messages are protected by
    the secret on the first line of ``secret_file``, known to the CA as ``reference``; or by the
    key in ``ra_key``, whose certificates are in ``ra_chain``, and answers then by one of the
    certificates in ``responders``, or by the CA itself. ``timeout`` is in seconds.
    """

    url: str
    chain: Path
    timeout: int = 30
    reference: str = ""
    secret_file: Path | None = None
    ra_key: Path | None = None
    ra_chain: Path | None = None
    ra_passphrase_file: Path | None = None
    responders: Path | None = None

    def open(self, store: Store, *, clock: Clock = system_clock) -> CmpAuthority:
        """See `AuthoritySettings.open`."""
        from ushield.bank.authorities.cmp.client import CmpAuthority
        from ushield.bank.authorities.cmp.http import CmpEndpoint
        from ushield.bank.authorities.key import load_chain

        chain = load_chain(self.chain)
        return CmpAuthority(
            store,
            CmpEndpoint(self.url),
            self._protection(chain[0]),
            chain,
            timeout=self.timeout,
            clock=clock,
        )

    def _protection(self, issuer: x509.Certificate) -> Protection:
        from ushield.bank.authorities.cmp.protection import MacProtection, SignatureProtection
        from ushield.bank.authorities.key import (
            load_certificates,
            load_chain,
            load_private_key,
            read_passphrase,
        )

        if self.secret_file is not None:
            return MacProtection(read_passphrase(self.secret_file), self.reference)
        if self.ra_key is None or self.ra_chain is None:
            raise ConfigurationInvalid("neither a secret nor a key of the RA is named")
        secret = self.ra_passphrase_file
        passphrase = None if secret is None else read_passphrase(secret)
        responders = (issuer,) if self.responders is None else load_certificates(self.responders)
        key = load_private_key(self.ra_key, passphrase, least_rsa_bits=2048)
        return SignatureProtection(key, load_chain(self.ra_chain), responders)


def read_authority(path: Path, found: dict[str, Any]) -> AuthoritySettings:
    """Read the section of the file at ``path``; `ConfigurationInvalid`."""
    kind = found.get("kind")
    if kind == "embedded":
        return _embedded(path, found)
    if kind == "cmp":
        return _cmp(path, found)
    raise _invalid(path, "kind", 'must be "embedded" or "cmp"')


def _embedded(path: Path, values: dict[str, Any]) -> EmbeddedSettings:
    kinds: dict[str, type] = dict.fromkeys(
        ("kind", "key", "certificate", "crl", "passphrase_file"), str
    )
    kinds |= {"crl_hours": int, "crl_urls": list, "ocsp_urls": list}
    check_kinds(path, values, kinds, _SECTION)
    if not 1 <= values.get("crl_hours", 1) <= 24 * 90:
        raise _invalid(path, "crl_hours", "1 to 2160")
    for name in ("crl_urls", "ocsp_urls"):
        for url in values.get(name, ()):
            if not (isinstance(url, str) and _URL.fullmatch(url)):
                raise _invalid(path, name, "must be URLs")
    folder = path.parent
    passphrase = values.get("passphrase_file")
    return EmbeddedSettings(
        key=folder / values.get("key", "authority-key.pem"),
        certificate=folder / values.get("certificate", "authority.pem"),
        crl=folder / values.get("crl", "bank.crl"),
        passphrase_file=None if passphrase is None else folder / passphrase,
        crl_hours=values.get("crl_hours", 24),
        crl_urls=tuple(values.get("crl_urls", ())),
        ocsp_urls=tuple(values.get("ocsp_urls", ())),
    )


def _cmp(path: Path, values: dict[str, Any]) -> CmpSettings:
    files = ("chain", "secret_file", "ra_key", "ra_chain", "ra_passphrase_file", "responders")
    kinds: dict[str, type] = dict.fromkeys(("kind", "url", "reference", *files), str)
    check_kinds(path, values, kinds | {"timeout": int}, _SECTION)
    values = dict(values)
    del values["kind"]
    for name in ("url", "chain"):
        if name not in values:
            raise _invalid(path, name, "is needed")
    with_secret, with_key = "secret_file" in values, {"ra_key", "ra_chain"} <= values.keys()
    if with_secret is with_key:
        raise _invalid(path, "secret_file", "that, or ra_key and ra_chain, are needed")
    if with_secret and not values.get("reference"):
        raise _invalid(path, "reference", "is needed with a secret")
    if not 1 <= values.get("timeout", 1) <= 600:
        raise _invalid(path, "timeout", "1 to 600 seconds")
    folder = path.parent
    for name in files:
        if name in values:
            values[name] = folder / values[name]
    return CmpSettings(**values)


def _invalid(path: Path, name: str, problem: str) -> ConfigurationInvalid:
    return ConfigurationInvalid(f"{path}: {_SECTION}{name}: {problem}", remedy=f"Edit {path}.")
