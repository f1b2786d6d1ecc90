"""The forms in which commands show tokens, PINs, keys, certificates and messages."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ushield.pin import PinState

if TYPE_CHECKING:
    from ushield.drivers.base import KeyInfo, TokenInfo
    from ushield.keystore import Certificate, Finding
    from ushield.transaction import Field

__all__ = [
    "certificate_facts",
    "describe_fields",
    "describe_pin",
    "finding_facts",
    "instant",
    "key_facts",
    "pin_facts",
    "table",
    "token_facts",
]


def instant(milliseconds: int) -> str:
    """Milliseconds since 1970 as ISO 8601 in UTC."""
    moment = datetime.fromtimestamp(milliseconds // 1000, UTC)
    return moment.isoformat().replace("+00:00", "Z")


def table(rows: Sequence[tuple[str, str]]) -> str:
    """Names and values in two columns, a line each; rows without a value are left out."""
    width = max((len(name) for name, value in rows if value), default=0)
    lines = (f"{name:<{width}}  {value}" for name, value in rows if value)
    return "\n".join(line.replace("\n", "\\n") for line in lines)


def pin_facts(state: PinState | None) -> dict[str, Any] | None:
    """A counter for programs; ``None`` for one that the token does not tell."""
    if state is None:
        return None
    return {
        "tries_left": state.tries_left,
        "max_tries": state.max_tries,
        "locked": state.locked,
        "must_change": state.must_change,
        "is_default": state.is_default,
    }


def describe_pin(state: PinState | None) -> str:
    """A counter for people."""
    if state is None:
        return "the token does not tell"
    if state.locked:
        return "locked"
    of_most = f" of {state.max_tries}" if state.max_tries else ""
    text = f"{state.tries_left}{of_most} tries left"
    if state.must_change:
        return f"{text}, must be changed before use"
    return f"{text}, STILL THE ONE THAT EVERYBODY KNOWS: change it" if state.is_default else text


def token_facts(info: TokenInfo) -> dict[str, Any]:
    """What a token tells of itself, for programs."""
    rules, screen = info.pin_rules, info.screen
    return {
        "driver": info.driver,
        "manufacturer": info.manufacturer,
        "model": info.model,
        "serial": info.serial,
        "label": info.label,
        "firmware": info.firmware,
        "virtual": info.virtual,
        "capabilities": sorted(info.capabilities),
        "screen": screen
        and {
            "lines": screen.lines,
            "columns": screen.columns,
            "repertoire": screen.repertoire,
            "banner": screen.banner,
        },
        "pin_rules": {
            "min_length": rules.min_length,
            "max_length": rules.max_length,
            "pin_per_signature": rules.pin_per_signature,
        },
        "max_message": info.max_message,
        "max_keys": info.max_keys,
        "max_certificate": info.max_certificate,
        "timeout": info.timeout,
    }


def key_facts(key: KeyInfo) -> dict[str, Any]:
    """A key pair for programs."""
    return {
        "id": key.key_id.hex(),
        "label": key.label,
        "algorithm": key.algorithm.value,
        "usage": key.usage.value,
        "pin": key.pin and key.pin.value,
        "touch": key.touch and key.touch.value,
        "generated": key.generated,
    }


def certificate_facts(certificate: Certificate) -> dict[str, Any]:
    """A certificate for programs; only its place and label where it cannot be read."""
    from ushield.errors import CertificateInvalid

    facts: dict[str, Any] = {
        "slot": certificate.slot,
        "id": certificate.key_id.hex(),
        "label": certificate.label,
        "category": "user" if certificate.key_id else "authority",
    }
    try:
        parsed = certificate.parsed()
        return facts | {
            "subject": parsed.subject.rfc4514_string(),
            "issuer": parsed.issuer.rfc4514_string(),
            "serial": f"{parsed.serial_number:x}",
            "not_before": parsed.not_valid_before_utc.isoformat(),
            "not_after": parsed.not_valid_after_utc.isoformat(),
        }
    except (CertificateInvalid, ValueError):
        return facts


def finding_facts(finding: Finding) -> dict[str, Any]:
    """What is wrong with a certificate, for programs."""
    return {
        "kind": finding.kind.value,
        "severity": finding.severity.value,
        "message": finding.message,
        "remedy": finding.remedy,
    }


def describe_fields(fields: Sequence[Field]) -> str:
    """The fields for people, a line each."""
    return "\n".join(f"  {field.label}  {field.value}" for field in fields)
