"""A bank in a folder: where its database, its CAs and its audit key are, in ``bank.toml``."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ushield.errors import InputInvalid

if TYPE_CHECKING:
    from ushield.bank.audit.keys import FileAuditSigner
    from ushield.bank.facade import Bank

__all__ = ["FILE_NAME", "BankConfiguration", "ConfigurationInvalid"]

FILE_NAME = "bank.toml"
_LONGEST = 1 << 16


class ConfigurationInvalid(InputInvalid):
    """A bank's folder whose ``bank.toml`` is missing or says something else than it may."""

    code = "bank-configuration-invalid"
    default_remedy = "Make a bank's folder: `ushield bank init DIR --ca FILE`."


@dataclass(frozen=True, slots=True, kw_only=True)
class BankConfiguration:
    """What ``bank.toml`` says; paths in it are relative to its folder.

    ``store`` is the database: a file's path, or ``postgresql://..``. ``ca`` has the CAs of
    customers' certificates (PEM), ``audit_key`` the key that seals the log. ``lifetime`` is how
    long a challenge lives, in seconds; ``accept_virtual`` takes signatures of virtual tokens.
    """

    folder: Path
    store: str = "bank.db"
    ca: str = "ca.pem"
    audit_key: str = "audit-key.pem"
    lifetime: int = 300
    accept_virtual: bool = False

    @classmethod
    def load(cls, folder: str | Path) -> BankConfiguration:
        """Read ``bank.toml`` in ``folder``; `ConfigurationInvalid`."""
        path = Path(folder) / FILE_NAME
        try:
            with path.open("rb") as stream:
                text = stream.read(_LONGEST).decode()
            found = tomllib.loads(text)
        except OSError as error:
            raise ConfigurationInvalid(f"{path}: {error.strerror}") from error
        except ValueError as error:
            raise ConfigurationInvalid(f"{path}: {error}") from error
        return cls(folder=Path(folder), **_checked(path, found))

    @property
    def url(self) -> str:
        """The database's URL."""
        if "://" in self.store:
            return self.store
        return f"sqlite:///{self._path(self.store).absolute()}"

    def open(self, *, timeout: float = 5.0) -> Bank:
        """Open the bank; as `Bank.open`, and `CertificateInvalid` for its CAs."""
        from ushield.bank.facade import Bank
        from ushield.bank.trust import TrustStore
        from ushield.bank.verification import Verifier

        trust = TrustStore.load(self.read_ca())
        return Bank.open(
            self.url,
            verifier=Verifier(trust, accept_virtual=self.accept_virtual),
            lifetime=timedelta(seconds=self.lifetime),
            timeout=timeout,
        )

    def read_ca(self) -> bytes:
        """The CAs of customers' certificates, as their file has them; `ConfigurationInvalid`."""
        path = self._path(self.ca)
        try:
            return path.read_bytes()
        except OSError as error:
            raise ConfigurationInvalid(f"{path}: {error.strerror}") from error

    def audit_signer(self) -> FileAuditSigner:
        """The key that seals the log; `InputInvalid`."""
        from ushield.bank.audit.keys import FileAuditSigner

        return FileAuditSigner.load(self._path(self.audit_key))

    def _path(self, name: str) -> Path:
        return self.folder / name


_KINDS: dict[str, type] = {
    "store": str,
    "ca": str,
    "audit_key": str,
    "lifetime": int,
    "accept_virtual": bool,
}


def _checked(path: Path, found: dict[str, Any]) -> dict[str, Any]:
    for name, value in found.items():
        kind = _KINDS.get(name)
        if kind is None:
            raise ConfigurationInvalid(f"{path}: {name}: unknown; there are {', '.join(_KINDS)}")
        if type(value) is not kind:
            raise ConfigurationInvalid(f"{path}: {name}: must be {kind.__name__}")
    if not 1 <= found.get("lifetime", 1) <= 86400:
        raise ConfigurationInvalid(f"{path}: lifetime: 1 to 86400 seconds")
    return found
