"""What the profile knows of PIV cards that they do not tell themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ushield.algorithms import KeyAlgorithm
from ushield.drivers.profiles import DriverProfile, ProfileInvalid
from ushield.pin import PinRules

__all__ = ["PivQuirks", "WeakKeys"]

Version = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class WeakKeys:
    """Keys that a card of some versions must not make: from ``first`` to before ``below``."""

    first: Version
    below: Version
    algorithms: frozenset[KeyAlgorithm]
    reason: str


@dataclass(frozen=True, slots=True)
class PivQuirks:
    """``usual_tries`` is how many tries a PIN has on a card that does not tell."""

    pin_rules: PinRules
    usual_tries: int
    weak: tuple[WeakKeys, ...]

    @classmethod
    def read(cls, profile: DriverProfile) -> PivQuirks:
        """Read the profile's table of its own; `ProfileInvalid` for what makes no sense."""
        table: dict[str, Any] = dict(profile.own)
        try:
            usual_tries = int(table.pop("usual_tries"))
            pin_rules = PinRules(
                **table.pop("pin"),
                max_tries=usual_tries,
                puk_max_tries=usual_tries,
                must_change_default=False,
                pin_per_signature=False,
                digits_only=False,
            )
            weak = tuple(
                WeakKeys(
                    tuple(map(int, entry["from"])),
                    tuple(map(int, entry["below"])),
                    frozenset(map(KeyAlgorithm, entry["algorithms"])),
                    str(entry["reason"]),
                )
                for entry in table.pop("weak", ())
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ProfileInvalid(f"driver profile: {error}") from error
        if table:
            raise ProfileInvalid(f"driver profile: unknown {', '.join(table)}")
        return cls(pin_rules, usual_tries, weak)

    def weakness(self, version: Version | None, algorithm: KeyAlgorithm) -> str | None:
        """Why a card of this ``version`` must not make such a key, or ``None``."""
        if version is None:
            return None
        return next(
            (
                one.reason
                for one in self.weak
                if one.first <= version < one.below and algorithm in one.algorithms
            ),
            None,
        )
