"""What stands in a signature in place of the receipt where no screen showed the transaction."""

from __future__ import annotations

from dataclasses import dataclass

from asn1crypto import core

from ushield.cms import der
from ushield.errors import InputInvalid

__all__ = ["BlindStatement", "BlindStatementInvalid"]

_VERSION = 1
_DISPLAY = "none"


class BlindStatementInvalid(InputInvalid):
    """Bytes that are no such statement, or values none would have."""

    code = "blind-statement-invalid"


@dataclass(frozen=True, slots=True)
class BlindStatement:
    """A signed attribute of ours, written by the host and signed by a key without a display::

        BlindStatement ::= SEQUENCE {
            version  INTEGER (1),
            display  UTF8String ("none"),
            serial   UTF8String,
            model    UTF8String,
            driver   UTF8String,
            virtual  BOOLEAN }

    ``display`` says the one thing that matters: nobody was shown what is signed. The others name
    the token as its driver found it, and whether no hardware guards its keys; unlike a receipt, all
    of it is only the host's word.
    """

    serial: str
    model: str
    driver: str
    virtual: bool = False

    def __post_init__(self) -> None:
        if not (
            1 <= len(self.serial) <= 64 and len(self.model) <= 64 and 1 <= len(self.driver) <= 32
        ):
            raise BlindStatementInvalid("a statement with a value out of its range")

    def encode(self) -> bytes:
        """The statement in DER."""
        return der.sequence(
            der.integer(_VERSION),
            der.utf8_string(_DISPLAY),
            der.utf8_string(self.serial),
            der.utf8_string(self.model),
            der.utf8_string(self.driver),
            der.boolean(self.virtual),
        )

    @classmethod
    def decode(cls, data: bytes) -> BlindStatement:
        """Read one; `BlindStatementInvalid` for anything that `encode` would not write."""
        try:
            found = _BlindStatement.load(data, strict=True).native
            if found.pop("version") != _VERSION or found.pop("display") != _DISPLAY:
                raise BlindStatementInvalid("a statement of another version, or of a display")
            statement = cls(**found)
        except (ValueError, TypeError) as error:
            raise BlindStatementInvalid("not a statement that nothing was shown") from error
        if statement.encode() != data:
            raise BlindStatementInvalid("a statement that is not in DER")
        return statement


class _BlindStatement(core.Sequence):  # type: ignore[misc]
    _fields = [  # noqa: RUF012 - asn1crypto wants it so
        ("version", core.Integer),
        ("display", core.UTF8String),
        ("serial", core.UTF8String),
        ("model", core.UTF8String),
        ("driver", core.UTF8String),
        ("virtual", core.Boolean),
    ]
