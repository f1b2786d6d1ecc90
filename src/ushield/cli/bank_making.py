"""The folder of a new bank: its configuration, its keys, and perhaps a CA of its own."""

from __future__ import annotations

import json
from pathlib import Path

import click

from ushield.cli.files import FileFailed, write_file
from ushield.cli.output import reason_of

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

    `CertificateInvalid`, `FileFailed`.
    """
    from ushield.bank import TrustStore
    from ushield.bank.audit.keys import FileAuditSigner
    from ushield.bank.configuration import AUDIT_PUBLIC_KEY, FILE_NAME

    TrustStore.load(trusted)
    _make_folder(folder)
    signer = FileAuditSigner.create(folder / "audit-key.pem")
    write_file(str(folder / AUDIT_PUBLIC_KEY), signer.public_pem, replace=True)
    make_unblock_key(folder)
    write_file(str(folder / "ca.pem"), trusted, replace=False)
    # Written last: a folder without it is no bank yet.
    text = "".join(f"{line}\n" for line in settings)
    write_file(str(folder / FILE_NAME), text.encode(), replace=False)


def make_bank_with_own_ca(
    folder: Path, organisation: str, passphrase_file: str | None, settings: list[str]
) -> None:
    """Make one that issues its customers' certificates itself; as `make_bank`."""
    from ushield.bank.authorities.certificates import authority_name
    from ushield.bank.authorities.key import AuthorityKey, read_passphrase
    from ushield.bank.moments import system_clock

    passphrase = None if passphrase_file is None else read_passphrase(passphrase_file)
    key = AuthorityKey.create(authority_name(organisation), system_clock())
    _make_folder(folder)
    key.save(folder / "authority-key.pem", folder / "authority.pem", passphrase=passphrase)
    settings = [*settings, "", "[authority]", 'kind = "embedded"']
    if passphrase_file is not None:
        settings.append(f"passphrase_file = {json.dumps(str(Path(passphrase_file).absolute()))}")
    make_bank(folder, key.pem, settings)


def make_unblock_key(folder: Path) -> None:
    """Make the key by which the bank unblocks PINs, and its public half for new tokens."""
    from ushield.bank.lifecycle.unblock_keys import FileUnblockSigner

    signer = FileUnblockSigner.create(folder / UNBLOCK_KEY)
    write_file(str(folder / _UNBLOCK_PUBLIC_KEY), signer.public_pem, replace=True)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise FileFailed(f"{folder}: {reason_of(error)}") from error
