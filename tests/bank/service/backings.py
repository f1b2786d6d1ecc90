"""A bank with all that a service can have: a CA of its own, keys, a policy."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from tests.bank.banking import Bench
from tests.bank.lifecycle.desk import Desk
from tests.pki import authority, authority_key, pem
from ushield.bank.archive import ArchiveJob
from ushield.bank.authorities.crl_publisher import CrlPublisher
from ushield.bank.authorities.key import AuthorityKey
from ushield.bank.authorities.ocsp_responder import OcspResponder
from ushield.bank.lifecycle import FileUnblockSigner
from ushield.bank.revocation import Knowledge, RevocationCatalogue

UNBLOCK_KEY = ec.generate_private_key(ec.SECP256R1())


def backing_of(bench: Bench, history: Path | None = None) -> dict[str, Any]:
    """The parts of a `Backing` beside the bank itself and its log's keys. ``history`` has the CRLs
    of all years.
    """
    desk = Desk.at(bench)
    key = AuthorityKey(authority_key("Test Bank CA"), (authority(),))
    publisher = CrlPublisher(bench.bank.store, key, clock=bench.clock)
    return {
        "enrolments": desk.enrolments,
        "unblocking": bench.bank.unblocking(FileUnblockSigner(UNBLOCK_KEY)),
        "revocations": bench.bank.revocations(desk.authority),
        "ocsp": OcspResponder(bench.bank.store, key, clock=bench.clock),
        "crl": lambda: publisher.make().public_bytes(Encoding.DER),
        "archive": partial(_job, history),
    }


def _job(history: Path | None, knowledge: Knowledge) -> ArchiveJob:
    found = None if history is None else RevocationCatalogue.scan(history, (authority(),))
    return ArchiveJob(trust=pem(authority()), revocation=found, knowledge=knowledge)
