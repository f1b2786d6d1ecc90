"""What a bank's folder has for its service: keys, and who certifies tokens."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ushield.bank.service.archive_jobs import ArchiveJobs
from ushield.bank.service.operation import Backing

if TYPE_CHECKING:
    from ushield.bank.audit.keys import AuditPublicKey, FileAuditSigner
    from ushield.bank.configuration import BankConfiguration
    from ushield.bank.facade import Bank
    from ushield.bank.lifecycle.unblocking import Unblocking

__all__ = ["backing_of"]


def backing_of(configuration: BankConfiguration, bank: Bank) -> Backing:
    """All that is there; what is not, its operations tell (`NotServed`).

    `InputInvalid` and `ConfigurationInvalid` for what is there and cannot be used.
    """
    return Backing(
        bank,
        audit_key=_audit_key(configuration),
        audit_signer=_audit_signer(configuration),
        unblocking=_unblocking(configuration, bank),
        archive=ArchiveJobs(configuration),
        **_of_authority(configuration, bank),
    )


def _audit_signer(configuration: BankConfiguration) -> FileAuditSigner | None:
    if not Path(configuration.folder, configuration.audit_key).exists():
        return None
    return configuration.audit_signer()


def _audit_key(configuration: BankConfiguration) -> AuditPublicKey | None:
    from ushield.bank.audit.keys import load_public_key
    from ushield.bank.configuration import AUDIT_PUBLIC_KEY

    path = Path(configuration.folder, AUDIT_PUBLIC_KEY)
    return load_public_key(path.read_bytes()) if path.exists() else None


def _unblocking(configuration: BankConfiguration, bank: Bank) -> Unblocking | None:
    if not Path(configuration.folder, configuration.unblock_key).exists():
        return None
    return bank.unblocking(configuration.unblock_signer())


def _of_authority(configuration: BankConfiguration, bank: Bank) -> dict[str, Any]:
    """What the section ``[authority]`` of bank.toml gives, and ``[attestation]`` with it."""
    from ushield.bank.authorities.configuration import EmbeddedSettings

    settings = configuration.authority
    if settings is None:
        return {}
    found: dict[str, Any] = {"revocations": bank.revocations(settings.open(bank.store))}
    if configuration.attestation is not None:
        found["enrolments"] = configuration.enrolments(bank)
    if isinstance(settings, EmbeddedSettings):
        crl = settings.crl
        found["ocsp"] = settings.ocsp_responder(bank.store)
        found["crl"] = lambda: _read_crl(crl)
    return found


def _read_crl(path: Path) -> bytes | None:
    """The CRL (DER) as it was published last, in either form."""
    from cryptography.hazmat.primitives.serialization import Encoding

    from ushield.bank.revocation.crl import load_crl

    if not path.exists():
        return None
    return load_crl(path.read_bytes()).public_bytes(Encoding.DER)
