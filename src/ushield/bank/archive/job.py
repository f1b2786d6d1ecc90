"""What a run verifies by: plain data, which pickles, and the verifier that is made of it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache

from ushield.bank.revocation.catalogue import RevocationCatalogue
from ushield.bank.revocation.history import Knowledge, historic_index
from ushield.bank.trust import TrustStore
from ushield.bank.verification import Verifier

__all__ = ["FORMAT", "ArchiveJob"]

FORMAT = 1
"""Counts what changes the outcomes of the same job; those of another are not resumed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveJob:
    """By what an archive is verified; the arguments are those of `Verifier`, as bytes.

    ``trust`` and ``accept_blind`` are CA certificates (PEM, or one in DER). ``revocation`` is what
    `RevocationCatalogue.scan` found; its files must be readable wherever workers run. Without one,
    revocation is not looked at. ``knowledge`` tells whether what became known later counts.
    """

    trust: bytes
    accept_virtual: bool = False
    accept_blind: bytes | None = None
    revocation: RevocationCatalogue | None = None
    knowledge: Knowledge = Knowledge.THEN

    @property
    def digest(self) -> str:
        """SHA-256, in hexadecimal, of all that decides about outcomes."""
        facts = {
            "format": FORMAT,
            "trust": hashlib.sha256(self.trust).hexdigest(),
            "accept_virtual": self.accept_virtual,
            "accept_blind": self.accept_blind and hashlib.sha256(self.accept_blind).hexdigest(),
            "revocation": self.revocation and self.revocation.digest.hex(),
            "knowledge": self.knowledge.value,
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

    def verifier(self) -> Verifier:
        """A new verifier; `CertificateInvalid`, `InputInvalid` as `TrustStore` and `Verifier`."""
        trust = TrustStore.load(self.trust)
        blind = None if self.accept_blind is None else TrustStore.load(self.accept_blind)
        index = None
        if self.revocation is not None:
            issuers = [*trust.anchors, *trust.intermediates]
            if blind is not None:
                issuers += (*blind.anchors, *blind.intermediates)
            index = historic_index(self.revocation, issuers, knowledge=self.knowledge)
        return Verifier(
            trust, accept_virtual=self.accept_virtual, accept_blind=blind, revocation=index
        )


@lru_cache(maxsize=1)
def cached_verifier(job: ArchiveJob) -> Verifier:
    """This process's verifier for ``job``, with all that it remembers from shard to shard."""
    return job.verifier()
