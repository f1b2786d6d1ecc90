"""What may stand in ``bank.toml``: every entry is known and sensible, or the file is refused."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from ushield.errors import InputInvalid

__all__ = [
    "AttestationConfiguration",
    "ConfigurationInvalid",
    "RevocationConfiguration",
    "check_kinds",
    "check_settings",
]


class ConfigurationInvalid(InputInvalid):
    """A bank's folder whose ``bank.toml`` is missing or says something else than it may."""

    code = "bank-configuration-invalid"
    default_remedy = "Correct bank.toml, or the file that it names."


@dataclass(frozen=True, slots=True, kw_only=True)
class RevocationConfiguration:
    """What tells about revocation: ``crl`` are files and HTTP addresses of CRLs, ``ocsp`` those of
    responders, whose answers must hold our nonce unless ``ocsp_nonce`` is false. Each is asked
    again at least every ``refresh`` seconds.
    """

    crl: tuple[str, ...] = ()
    ocsp: tuple[str, ...] = ()
    ocsp_nonce: bool = True
    refresh: int = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class AttestationConfiguration:
    """Which tokens may sign what their screen shows: of ``models``, made by those whose CAs, or
    devices' certificates, are in the file ``makers`` (PEM).
    """

    makers: str
    models: tuple[str, ...]


_KINDS: dict[str, type] = {
    "store": str,
    "ca": str,
    "audit_key": str,
    "lifetime": int,
    "accept_virtual": bool,
    "policy": str,
    "blind_ca": str,
    "time_zone": str,
    "revocation": dict,
    "revocation_history": str,
    "attestation": dict,
    "authority": dict,
    "enrolment": dict,
    "unblock_key": str,
}
_NAMES = {
    str: "a text",
    int: "a whole number",
    bool: "true or false",
    dict: "a table",
    list: "a list",
}
_REVOCATION: dict[str, type] = {"crl": list, "ocsp": list, "ocsp_nonce": bool, "refresh": int}
_ATTESTATION: dict[str, type] = {"makers": str, "models": list}


def check_settings(path: Path, found: dict[str, Any]) -> dict[str, Any]:
    """What the file at ``path`` says, which is all known and sensible; `ConfigurationInvalid`."""
    check_kinds(path, found, _KINDS)
    if not 1 <= found.get("lifetime", 1) <= 86400:
        raise ConfigurationInvalid(f"{path}: lifetime: 1 to 86400 seconds")
    _check_zone(path, found.get("time_zone", "UTC"))
    if "policy" not in found and "blind_ca" in found:
        raise ConfigurationInvalid(
            f"{path}: blind_ca: only a policy says what may be signed with no screen",
            remedy='Name one: policy = "policy.toml".',
        )
    if "policy" in found and "accept_virtual" in found:
        raise ConfigurationInvalid(
            f"{path}: accept_virtual: where there is a policy, that names virtual tokens",
            remedy="Take it out, and write `virtual_tokens` into the policy.",
        )
    if "revocation" in found:
        found = found | {"revocation": _revocation(path, found["revocation"])}
    if "attestation" in found:
        found = found | {"attestation": _attestation(path, found["attestation"])}
    if "authority" in found:
        from ushield.bank.authorities.configuration import read_authority

        found = found | {"authority": read_authority(path, found["authority"])}
    if "enrolment" in found:
        from ushield.bank.lifecycle.configuration import read_enrolment

        found = found | {"enrolment": read_enrolment(path, found["enrolment"])}
    return found


def _revocation(path: Path, found: dict[str, Any]) -> RevocationConfiguration:
    from ushield.bank.revocation import HttpSource

    check_kinds(path, found, _REVOCATION, "revocation.")
    if "crl" not in found and "ocsp" not in found:
        raise ConfigurationInvalid(f"{path}: revocation.crl or revocation.ocsp is due")
    if not 1 <= found.get("refresh", 1) <= 86400:
        raise ConfigurationInvalid(f"{path}: revocation.refresh: 1 to 86400 seconds")
    sources: dict[str, Any] = {
        name: _texts(path, found, "revocation", name) for name in ("crl", "ocsp") if name in found
    }
    for name, texts in sources.items():
        for each in texts:
            # A CRL may be a file, too.
            if name == "ocsp" or "://" in each:
                try:
                    HttpSource(each)
                except InputInvalid as error:
                    raise ConfigurationInvalid(f"{path}: revocation.{name}: {error}") from error
    return RevocationConfiguration(**found | sources)


def _attestation(path: Path, found: dict[str, Any]) -> AttestationConfiguration:
    check_kinds(path, found, _ATTESTATION, "attestation.")
    if "makers" not in found:
        raise ConfigurationInvalid(f"{path}: attestation.makers: a file of certificates is due")
    models = _texts(path, found, "attestation", "models")
    return AttestationConfiguration(makers=found["makers"], models=models)


def _texts(path: Path, found: dict[str, Any], section: str, name: str) -> tuple[str, ...]:
    texts = found.get(name, [])
    if not texts or not all(isinstance(each, str) for each in texts):
        raise ConfigurationInvalid(f"{path}: {section}.{name}: a list of texts, and not empty")
    return tuple(texts)


def check_kinds(
    path: Path, found: dict[str, Any], kinds: dict[str, type], section: str = ""
) -> None:
    """`ConfigurationInvalid` unless the table has nothing but ``kinds``; ``section`` names it."""
    for name, value in found.items():
        kind = kinds.get(name)
        if kind is None:
            raise ConfigurationInvalid(
                f"{path}: {section}{name}: unknown; there are {', '.join(kinds)}"
            )
        if type(value) is not kind:
            raise ConfigurationInvalid(f"{path}: {section}{name}: must be {_NAMES[kind]}")


def _check_zone(path: Path, name: str) -> None:
    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError) as error:
        raise ConfigurationInvalid(
            f"{path}: time_zone: this machine knows none called {name!r}",
            remedy="Name one of the IANA database, such as Asia/Shanghai; install its data.",
        ) from error
