"""A folder of CRLs and OCSP responses of many years: what is there, and for which time.

Each file is checked once, when the folder is scanned. Of a list only its heading is kept; the
entries are read when a time needs them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.x509 import ocsp

from ushield.bank.revocation.crl import CrlHeading, RevocationList
from ushield.bank.revocation.evidence import RevocationInvalid
from ushield.bank.revocation.ocsp import MAX_OCSP, OcspStatement
from ushield.bank.revocation.sources import FileSource, RevocationUnavailable
from ushield.errors import InputInvalid

__all__ = ["IgnoredFile", "ListEdition", "RevocationCatalogue"]


class ListEdition(NamedTuple):
    """A CRL in a file, which must still hash to ``sha256`` when it is read."""

    path: str
    sha256: bytes
    heading: CrlHeading

    def read(self, issuers: Sequence[x509.Certificate]) -> RevocationList:
        """The list itself; `RevocationUnavailable` if the file is gone or not the same any more."""
        data = FileSource(Path(self.path)).fetch()
        if hashlib.sha256(data).digest() != self.sha256:
            raise RevocationUnavailable(f"{self.path}: it was changed since it was looked at")
        return RevocationList.read(data, issuers, self.heading.this_update)


class IgnoredFile(NamedTuple):
    """A file that says nothing about the time of any signature, and why."""

    path: str
    problem: str


@dataclass(frozen=True, slots=True)
class RevocationCatalogue:
    """The lists and responses by CAs that a bank trusts; it pickles.

    ``digest`` (SHA-256) stands for the contents of all that is used, wherever the files are.
    """

    lists: tuple[ListEdition, ...] = ()
    statements: tuple[OcspStatement, ...] = ()
    ignored: tuple[IgnoredFile, ...] = ()
    digest: bytes = hashlib.sha256().digest()

    @classmethod
    def scan(
        cls, folder: Path, issuers: Sequence[x509.Certificate], now: datetime | None = None
    ) -> RevocationCatalogue:
        """All files in ``folder`` and below: CRLs in DER or PEM, OCSP responses in DER.

        What cannot be believed is in ``ignored``. An OCSP responder's certificate must have been
        valid when the response was made. `InputInvalid` if ``folder`` is none.
        """
        if not folder.is_dir():
            raise InputInvalid(f"{folder}: no such folder of revocation lists")
        at = now or datetime.now(UTC)
        lists: list[ListEdition] = []
        statements: list[OcspStatement] = []
        ignored: list[IgnoredFile] = []
        digests: set[bytes] = set()
        for path in sorted(each for each in folder.absolute().rglob("*") if each.is_file()):
            try:
                data = FileSource(path).fetch()
                found = _statements(data, issuers, at)
                sha256 = hashlib.sha256(data).digest()
                if found is not None:
                    statements += found
                else:
                    heading = CrlHeading.read(data, issuers, at)
                    lists.append(ListEdition(str(path), sha256, heading))
            except (RevocationInvalid, RevocationUnavailable) as error:
                ignored.append(IgnoredFile(str(path), str(error)))
            else:
                digests.add(sha256)
        digest = hashlib.sha256(b"".join(sorted(digests))).digest()
        return cls(tuple(lists), tuple(statements), tuple(ignored), digest)


def _statements(
    data: bytes, issuers: Sequence[x509.Certificate], now: datetime
) -> tuple[OcspStatement, ...] | None:
    """What an OCSP response says; ``None`` if it is none."""
    if len(data) > MAX_OCSP:
        return None
    try:
        response = ocsp.load_der_ocsp_response(data)
        produced = response.produced_at_utc
    except ValueError:
        return None
    return OcspStatement.read(data, issuers, min(produced, now))
