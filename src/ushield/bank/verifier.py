"""What the bank asks of whatever verifies signatures for it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ushield.bank.revocation.refresh import RevocationRefresher
    from ushield.bank.verification import BlindTransaction, VerifiedTransaction, Verifier

__all__ = ["BlindToo", "SignatureVerifier", "UpToDate"]


class SignatureVerifier(Protocol):
    """Tells whether a signature holds, such as `Verifier`. Several threads use it at once."""

    def verify(self, signature: bytes, at: datetime) -> VerifiedTransaction | BlindTransaction:
        """What ``signature`` (CMS SignedData in DER) says, if it holds at ``at``.

        `TransactionRejected` carries the reason if it does not. Challenges are no concern of it.
        A `BlindTransaction` only where the bank wants such signatures.
        """


@dataclass(frozen=True, slots=True)
class BlindToo:
    """A verifier for a bank whose policy says what may be signed with no screen."""

    verifier: Verifier

    def verify(self, signature: bytes, at: datetime) -> VerifiedTransaction | BlindTransaction:
        """As `Verifier.verify_either`."""
        return self.verifier.verify_either(signature, at)


@dataclass(frozen=True, slots=True)
class UpToDate:
    """A verifier that has what tells about revocation fetched, from its first signature on."""

    verifier: SignatureVerifier
    refresher: RevocationRefresher

    def verify(self, signature: bytes, at: datetime) -> VerifiedTransaction | BlindTransaction:
        """As the verifier's own; the first one waits until all sources were asked."""
        self.refresher.start()
        return self.verifier.verify(signature, at)
