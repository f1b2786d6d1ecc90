"""The section ``[enrolment]`` of ``bank.toml``: how tokens get their certificates."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ushield.bank.settings import ConfigurationInvalid, check_kinds

if TYPE_CHECKING:
    from ushield.bank.attestation import AttestationPolicy
    from ushield.bank.lifecycle.policy import EnrolmentPolicy

__all__ = ["EnrolmentSettings", "read_enrolment"]

_SECTION = "enrolment."


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrolmentSettings:
    """A certificate is valid for ``validity_days``, a registration code for ``registration_days``.

    ``virtual_tokens`` are enrolled, too, if ``[attestation]`` names their models.
    """

    validity_days: int = 730
    registration_days: int = 14
    virtual_tokens: bool = False

    def policy(self, attestations: AttestationPolicy, *, accept_virtual: bool) -> EnrolmentPolicy:
        """What the bank wants of a token; ``accept_virtual`` if it takes virtual ones anyway."""
        from ushield.bank.lifecycle.policy import EnrolmentPolicy

        return EnrolmentPolicy(
            attestations=attestations,
            accept_virtual=accept_virtual or self.virtual_tokens,
            validity=timedelta(days=self.validity_days),
            registration=timedelta(days=self.registration_days),
        )


def read_enrolment(path: Path, found: dict[str, Any]) -> EnrolmentSettings:
    """Read the section of the file at ``path``; `ConfigurationInvalid`."""
    kinds = {"validity_days": int, "registration_days": int, "virtual_tokens": bool}
    check_kinds(path, found, kinds, _SECTION)
    for name, most in (("validity_days", 3650), ("registration_days", 90)):
        if not 1 <= found.get(name, 1) <= most:
            raise ConfigurationInvalid(f"{path}: {_SECTION}{name}: 1 to {most}")
    return EnrolmentSettings(**found)
