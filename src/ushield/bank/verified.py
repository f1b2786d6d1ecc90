"""What a verified signature says."""

from __future__ import annotations

from dataclasses import dataclass

from ushield.bank.pages_check import screen_of
from ushield.cms.attestation import Attestation
from ushield.cms.blind import BlindStatement
from ushield.cms.receipt import Receipt
from ushield.transaction.message import Message
from ushield.transaction.model import Transaction
from ushield.transaction.pages import Page, lay_out

__all__ = ["BlindTransaction", "VerifiedTransaction"]


@dataclass(frozen=True, slots=True)
class _SignedTransaction:
    """What holds of a signature, whether its transaction was shown or not."""

    message: Message
    certificate: bytes
    certificate_serial: int
    path: tuple[str, ...]

    @property
    def transaction(self) -> Transaction:
        """What was signed."""
        return self.message.transaction

    @property
    def signer(self) -> str:
        """The subject of the signer's certificate (RFC 4514)."""
        return self.path[0]


@dataclass(frozen=True, slots=True)
class VerifiedTransaction(_SignedTransaction):
    """A transaction whose signature holds. Only a `Verifier` makes one.

    ``message`` is what was signed; ``receipt`` is the token's word on the press, and on what it
    showed before. ``certificate`` is the signer's in DER, ``path`` the subjects
    from it up to the trusted CA (RFC 4514), ``certificate_serial`` its serial number.
    ``attestation`` is what the token attested of the key, where the bank requires that.
    """

    receipt: Receipt
    attestation: Attestation | None = None

    @property
    def pages(self) -> tuple[Page, ...]:
        """What the token showed before OK, drawn again."""
        return lay_out(self.message.shown, screen_of(self.receipt))


@dataclass(frozen=True, slots=True)
class BlindTransaction(_SignedTransaction):
    """A transaction that a key signed and no screen showed: no `VerifiedTransaction`.

    The customer's key was used, perhaps with a touch. That the customer meant *this* transaction,
    nothing says: a program on the customer's computer chose it. ``statement`` is that computer's
    word on the token; the rest as in `VerifiedTransaction`.
    """

    statement: BlindStatement
