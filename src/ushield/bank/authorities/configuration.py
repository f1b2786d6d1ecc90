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
    from ushield.bank.authorities.crl_publisher import CrlPublisher
    from ushield.bank.authorities.embedded import EmbeddedAuthority
    from ushield.bank.authorities.key import AuthorityKey
    from ushield.bank.authorities.ocsp_responder import OcspResponder
    from ushield.bank.authorities.protocol import CertificateAuthority
    from ushield.bank.store.store import Store

__all__ = ["AuthoritySettings", "EmbeddedSettings", "read_authority"]

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


def read_authority(path: Path, found: dict[str, Any]) -> AuthoritySettings:
    """Read the section of the file at ``path``; `ConfigurationInvalid`."""
    kind = found.get("kind")
    if kind == "embedded":
        return _embedded(path, found)
    raise _invalid(path, "kind", 'must be "embedded"')


def _embedded(path: Path, values: dict[str, Any]) -> EmbeddedSettings:
    kinds = dict.fromkeys(("kind", "key", "certificate", "crl", "passphrase_file"), str)
    kinds |= {"crl_hours": int, "crl_urls": list, "ocsp_urls": list}
    check_kinds(path, values, kinds, _SECTION)
    if not 1 <= values.get("crl_hours", 1) <= 24 * 90:
        raise _invalid(path, "crl_hours", "1 to 2160")
    for name in ("crl_urls", "ocsp_urls"):
        for url in values.get(name, ()):
            if not (
                isinstance(url, str)
                and url.isascii()
                and url.startswith(("http://", "https://", "ldap://"))
            ):
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


def _invalid(path: Path, name: str, problem: str) -> ConfigurationInvalid:
    return ConfigurationInvalid(f"{path}: {_SECTION}{name}: {problem}", remedy=f"Edit {path}.")
