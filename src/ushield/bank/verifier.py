"""What the bank asks of whatever verifies signatures for it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from ushield.bank.rejection import TransactionRejected
from ushield.bank.revocation.index import NOT_KNOWN
from ushield.cms.parsing import parse_signed_data

if TYPE_CHECKING:
    from ushield.bank.revocation.refresh import RevocationRefresher
    from ushield.bank.revocation.watch import OcspWatch
    from ushield.bank.verification import Verifier
    from ushield.bank.verified import BlindTransaction, VerifiedTransaction

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
    """A verifier that has what tells about revocation fetched, from its first signature on.

    ``watch`` is asked where nothing tells how a certificate stands.
    """

    verifier: SignatureVerifier
    refresher: RevocationRefresher
    watch: OcspWatch | None = None

    def verify(self, signature: bytes, at: datetime) -> VerifiedTransaction | BlindTransaction:
        """As the verifier's own; the first one waits until all sources were asked, the first one
        of a certificate until the responders were.
        """
        self.refresher.start()
        try:
            return self.verifier.verify(signature, at)
        except TransactionRejected as rejected:
            if self.watch is None or rejected.reason not in NOT_KNOWN:
                raise
        self.watch.ask(parse_signed_data(signature).certificate)
        return self.verifier.verify(signature, at)
