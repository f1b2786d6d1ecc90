"""The folder of a new bank: its configuration, its keys, and perhaps a CA of its own."""

from __future__ import annotations

import json
from pathlib import Path

import click

from ushield.cli.files import write_file
from ushield.cli.staging import staged

__all__ = [
    "UNBLOCK_KEY",
    "make_bank",
    "make_bank_with_own_ca",
    "make_unblock_key",
    "settings_of",
]

UNBLOCK_KEY = "unblock-key.pem"
_UNBLOCK_PUBLIC_KEY = "unblock-public.pem"


def settings_of(store: str | None, *, accept_virtual: bool) -> list[str]:
    """The lines of ``bank.toml`` that say something; a password in the URL is refused."""
    from ushield.bank.store.engine import store_url

    settings = []
    if store is not None:
        if store_url(store).password is not None:
            raise click.UsageError(
                "--store: every program can read a password there; use ~/.pgpass or bank.toml"
            )
        settings.append(f"store = {json.dumps(store)}")
    if accept_virtual:
        settings.append("accept_virtual = true")
    return settings


def make_bank(folder: Path, trusted: bytes, settings: list[str]) -> None:
    """Make a bank that takes certificates by the CAs in ``trusted`` (PEM or DER), without tables.

    All of it is there, or nothing: what an earlier one that was killed has left is taken away.
    `CertificateInvalid`, `FileFailed`.
    """
    from ushield.bank import TrustStore
    from ushield.bank.configuration import FILE_NAME

    TrustStore.load(trusted)
    with staged(folder, FILE_NAME) as stage:
        _write_bank(stage, trusted, settings)


def make_bank_with_own_ca(
    folder: Path, organisation: str, passphrase_file: str | None, settings: list[str]
) -> None:
    """Make one that issues its customers' certificates itself; as `make_bank`."""
    from ushield.bank.authorities.certificates import authority_name
    from ushield.bank.authorities.key import AuthorityKey, read_passphrase
    from ushield.bank.configuration import FILE_NAME
    from ushield.bank.moments import system_clock

    passphrase = None if passphrase_file is None else read_passphrase(passphrase_file)
    key = AuthorityKey.create(authority_name(organisation), system_clock())
    settings = [*settings, "", "[authority]", 'kind = "embedded"']
    if passphrase_file is not None:
        settings.append(f"passphrase_file = {json.dumps(str(Path(passphrase_file).absolute()))}")
    with staged(folder, FILE_NAME) as stage:
        key.save(stage / "authority-key.pem", stage / "authority.pem", passphrase=passphrase)
        _write_bank(stage, key.pem, settings)


def make_unblock_key(folder: Path) -> None:
    """Make the key by which the bank unblocks PINs, and its public half for new tokens; what is
    there already stays.
    """
    from ushield.bank.lifecycle.unblock_keys import FileUnblockSigner

    path = folder / UNBLOCK_KEY
    signer = FileUnblockSigner.load(path) if path.exists() else FileUnblockSigner.create(path)
    public = folder / _UNBLOCK_PUBLIC_KEY
    if not public.exists():
        write_file(str(public), signer.public_pem, replace=False)


def _write_bank(folder: Path, trusted: bytes, settings: list[str]) -> None:
    from ushield.bank.audit.keys import FileAuditSigner
    from ushield.bank.configuration import AUDIT_PUBLIC_KEY, FILE_NAME

    signer = FileAuditSigner.create(folder / "audit-key.pem")
    write_file(str(folder / AUDIT_PUBLIC_KEY), signer.public_pem, replace=False)
    make_unblock_key(folder)
    write_file(str(folder / "ca.pem"), trusted, replace=False)
    text = "".join(f"{line}\n" for line in settings)
    write_file(str(folder / FILE_NAME), text.encode(), replace=False)
