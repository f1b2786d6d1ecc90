"""Files with private keys: new ones that their owner alone can read, and refusing others."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from ushield.errors import InputInvalid

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

__all__ = ["private_pem", "read_private", "read_private_key", "write_private"]

_LONGEST = 1 << 14


def write_private(path: str | Path, data: bytes) -> None:
    """Write a new file with mode 0600, durable when this returns.

    `InputInvalid` if it cannot be, or if there is something of that name.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        raise InputInvalid(f"{path}: {error.strerror}") from error


def read_private(path: str | Path) -> bytes:
    """The file's first 16 KiB; `InputInvalid` if there is none, or if others may read it."""
    try:
        with Path(path).open("rb") as stream:
            mode = stat.S_IMODE(os.fstat(stream.fileno()).st_mode)
            data = stream.read(_LONGEST)
    except OSError as error:
        raise InputInvalid(f"{path}: {error.strerror}") from error
    if mode & 0o077:
        raise InputInvalid(f"{path}: other users may read this key", remedy=f"chmod 600 {path}")
    return data


def private_pem(key: PrivateKeyTypes, passphrase: bytes | None = None) -> bytes:
    """A key as PKCS #8 in PEM, encrypted if there is a passphrase."""
    from cryptography.hazmat.primitives.serialization import (
        BestAvailableEncryption,
        Encoding,
        KeySerializationEncryption,
        NoEncryption,
        PrivateFormat,
    )

    protection: KeySerializationEncryption = NoEncryption()
    if passphrase is not None:
        protection = BestAvailableEncryption(passphrase)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection)


def read_private_key(path: str | Path, passphrase: bytes | None = None) -> PrivateKeyTypes:
    """The key (PKCS #8 in PEM) in a file; `InputInvalid` as `read_private`, and for any other."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    encoded = read_private(path)
    try:
        return load_pem_private_key(encoded, passphrase)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # What the library says of a wrong passphrase differs by how the file is encrypted.
        how = "without a passphrase" if passphrase is None else "with the passphrase given"
        raise InputInvalid(
            f"{path}: not a private key (PKCS #8 in PEM) that can be read {how}",
            remedy="Name a key's file, and the file that has its passphrase, if it has one.",
        ) from None
