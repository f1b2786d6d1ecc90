"""A bank in a folder: its database, its CAs, its policy and its keys, in ``bank.toml``."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from ushield.bank.lifecycle.configuration import EnrolmentSettings
from ushield.bank.settings import (
    AttestationConfiguration,
    ConfigurationInvalid,
    RevocationConfiguration,
    check_settings,
)
from ushield.bank.whole_files import read_whole

if TYPE_CHECKING:
    from ushield.bank.archive.job import ArchiveJob
    from ushield.bank.attestation import AttestationPolicy
    from ushield.bank.audit.keys import FileAuditSigner
    from ushield.bank.authorities.configuration import AuthoritySettings
    from ushield.bank.facade import Bank
    from ushield.bank.lifecycle.enrolments import Enrolments
    from ushield.bank.lifecycle.unblock_keys import FileUnblockSigner
    from ushield.bank.policy.policy import Policy
    from ushield.bank.revocation import (
        Knowledge,
        OcspWatch,
        RevocationIndex,
        RevocationRefresher,
    )
    from ushield.bank.store.store import Store
    from ushield.bank.trust import TrustStore

__all__ = [
    "AUDIT_PUBLIC_KEY",
    "FILE_NAME",
    "AttestationConfiguration",
    "BankConfiguration",
    "ConfigurationInvalid",
    "RevocationConfiguration",
]

FILE_NAME = "bank.toml"
AUDIT_PUBLIC_KEY = "audit-public.pem"
"""The file for whoever verifies the log, beside ``bank.toml``."""
_LONGEST = 1 << 16
_LONGEST_CA = 1 << 24


@dataclass(frozen=True, slots=True, kw_only=True)
class BankConfiguration:
    """What ``bank.toml`` says; paths in it are relative to its folder.

    ``store`` is the database: a file's path, or ``postgresql://..``. ``ca`` has the CAs of
    customers' certificates (PEM), ``audit_key`` the key that seals the log. ``lifetime`` is how
    long a challenge lives, in seconds. ``accept_virtual`` takes signatures of virtual tokens; where
    there is a ``policy``, that names them instead. ``blind_ca`` has the CAs of keys without a
    display, which only a policy lets sign. Days and months are those of ``time_zone`` (IANA).
    ``authority`` is who issues certificates for the bank, if anybody does, ``enrolment`` how
    tokens get theirs. ``unblock_key`` is the key by which PINs are unblocked. The folder
    ``revocation_history`` has the CRLs and OCSP responses of all years, for archives.
    """

    folder: Path
    store: str = "bank.db"
    ca: str = "ca.pem"
    audit_key: str = "audit-key.pem"
    lifetime: int = 300
    accept_virtual: bool = False
    policy: str | None = None
    blind_ca: str | None = None
    time_zone: str = "UTC"
    revocation: RevocationConfiguration | None = None
    revocation_history: str | None = None
    attestation: AttestationConfiguration | None = None
    authority: AuthoritySettings | None = None
    enrolment: EnrolmentSettings = field(default_factory=EnrolmentSettings)
    unblock_key: str = "unblock-key.pem"

    @classmethod
    def load(cls, folder: str | Path) -> BankConfiguration:
        """Read ``bank.toml`` in ``folder``; `ConfigurationInvalid`."""
        path = Path(folder) / FILE_NAME
        text = read_whole(path, at_most=_LONGEST, refusal=_no_bank)
        try:
            found = tomllib.loads(text.decode())
        except (ValueError, RecursionError) as error:
            raise ConfigurationInvalid(f"{path}: {error}") from error
        return cls(folder=Path(folder), **check_settings(path, found))

    @property
    def url(self) -> str:
        """The database's URL."""
        if "://" in self.store:
            return self.store
        return f"sqlite:///{self._path(self.store).absolute()}"

    def open(self, *, timeout: float = 5.0, pool_size: int = 8) -> Bank:
        """Open the bank; as `Bank.open`, `CertificateInvalid` for its CAs, and `PolicyInvalid`.

        CRLs are fetched when the first signature comes, and then in the background until the bank
        is closed. Responders are asked when the first signature by a certificate comes, and then in
        the background. What cannot be fetched is logged; signatures are refused once nothing that
        is known is new enough.
        """
        from ushield.bank.facade import Bank
        from ushield.bank.verification import Verifier
        from ushield.bank.verifier import BlindToo, SignatureVerifier, UpToDate

        trust = self._trust(self.ca)
        blind = None if self.blind_ca is None else self._trust(self.blind_ca)
        policy = self._policy()
        index = self._index(trust, blind)
        watch = None if index is None else self._watch(index, trust, blind)
        refresher = None if index is None else self._refresher(index, watch)

        def make_verifier(store: Store) -> SignatureVerifier:
            judge = Verifier(
                trust,
                accept_virtual=self.may_take_virtual,
                accept_blind=blind,
                attestations=self._attestations(store),
                revocation=index,
            )
            verifier: SignatureVerifier = judge if blind is None else BlindToo(judge)
            return verifier if refresher is None else UpToDate(verifier, refresher, watch)

        bank = Bank.open(
            self.url,
            verifier=make_verifier,
            lifetime=timedelta(seconds=self.lifetime),
            policy=policy,
            zone=ZoneInfo(self.time_zone),
            timeout=timeout,
            pool_size=pool_size,
        )
        if refresher is not None:
            bank.on_close(refresher.close)
        return bank

    @property
    def may_take_virtual(self) -> bool:
        """Whether a signature by a virtual token may hold; where there is a policy, that decides
        about each.
        """
        return self.accept_virtual or self.policy is not None

    def read_ca(self) -> bytes:
        """The CAs of customers' certificates, as their file has them; `ConfigurationInvalid`."""
        return self._read(self.ca, _LONGEST_CA)

    def read_blind_ca(self) -> bytes | None:
        """Those of keys without a display, if the bank has any; `ConfigurationInvalid`."""
        return None if self.blind_ca is None else self._read(self.blind_ca, _LONGEST_CA)

    def audit_signer(self) -> FileAuditSigner:
        """The key that seals the log; `InputInvalid`."""
        from ushield.bank.audit.keys import FileAuditSigner

        return FileAuditSigner.load(self._path(self.audit_key))

    def issuing(self) -> AuthoritySettings:
        """Who issues certificates for the bank; `ConfigurationInvalid` if nobody does."""
        if self.authority is None:
            raise ConfigurationInvalid(
                f"{self._path(FILE_NAME)}: it names no CA that issues certificates",
                remedy="Add a section [authority] to it: docs/authorities.md tells what it says.",
            )
        return self.authority

    def enrolments(self, bank: Bank) -> Enrolments:
        """What enrols tokens at ``bank``; `ConfigurationInvalid` if no token is to be attested."""
        attestations = self._attestations(bank.store)
        if attestations is None:
            raise ConfigurationInvalid(
                f"{self._path(FILE_NAME)}: it does not tell whose tokens may be enrolled",
                remedy="Add a section [attestation] to it: docs/lifecycle.md tells what it says.",
            )
        policy = self.enrolment.policy(attestations, accept_virtual=self.accept_virtual)
        return bank.enrolments(policy, self.issuing().open(bank.store))

    def archive_job(
        self,
        *,
        blind_ca: bytes | None = None,
        history: Path | None = None,
        knowledge: Knowledge | None = None,
    ) -> ArchiveJob:
        """By what an archive of the bank's is verified; `ConfigurationInvalid`, `InputInvalid`.

        ``blind_ca`` (PEM) and ``history`` go before what the file says.
        """
        from ushield.bank.archive.job import ArchiveJob
        from ushield.bank.revocation import Knowledge, RevocationCatalogue
        from ushield.bank.trust import TrustStore

        trust = self.read_ca()
        blind = self.read_blind_ca() if blind_ca is None else blind_ca
        if history is None and self.revocation_history is not None:
            history = self._path(self.revocation_history)
        stores = [TrustStore.load(each) for each in (trust, blind) if each is not None]
        issuers = [each for store in stores for each in (*store.anchors, *store.intermediates)]
        return ArchiveJob(
            trust=trust,
            accept_virtual=self.may_take_virtual,
            accept_blind=blind,
            revocation=None if history is None else RevocationCatalogue.scan(history, issuers),
            knowledge=knowledge or Knowledge.THEN,
        )

    def unblock_signer(self) -> FileUnblockSigner:
        """The key by which PINs are unblocked; `InputInvalid`."""
        from ushield.bank.lifecycle.unblock_keys import FileUnblockSigner

        return FileUnblockSigner.load(self._path(self.unblock_key))

    def _policy(self) -> Policy | None:
        if self.policy is None:
            return None
        from ushield.bank.policy.loading import MAX_POLICY, load_policy

        return load_policy(self._read(self.policy, MAX_POLICY))

    def _trust(self, name: str) -> TrustStore:
        from ushield.bank.trust import TrustStore

        return TrustStore.load(self._read(name, _LONGEST_CA))

    def _index(self, *trusted: TrustStore | None) -> RevocationIndex | None:
        if self.revocation is None:
            return None
        from ushield.bank.revocation import RevocationIndex

        return RevocationIndex(
            issuer
            for trust in trusted
            if trust is not None
            for issuer in (*trust.anchors, *trust.intermediates)
        )

    def _attestations(self, store: Store) -> AttestationPolicy | None:
        if self.attestation is None:
            return None
        from ushield.bank.attestation import AttestationPolicy
        from ushield.bank.lifecycle.attestations import StoredAttestations

        makers = self._read(self.attestation.makers, _LONGEST_CA)
        return AttestationPolicy.load(StoredAttestations(store), makers, self.attestation.models)

    def _watch(self, index: RevocationIndex, *trusted: TrustStore | None) -> OcspWatch | None:
        if self.revocation is None or not self.revocation.ocsp:
            return None
        from ushield.bank.revocation import OcspWatch

        return OcspWatch(
            index,
            [trust for trust in trusted if trust is not None],
            self.revocation.ocsp,
            at_least_every=timedelta(seconds=self.revocation.refresh),
            with_nonce=self.revocation.ocsp_nonce,
        )

    def _refresher(
        self, index: RevocationIndex, watch: OcspWatch | None
    ) -> RevocationRefresher | None:
        if self.revocation is None:
            return None
        from ushield.bank.revocation import FileSource, HttpSource, RevocationRefresher

        return RevocationRefresher(
            index,
            [
                HttpSource(each) if "://" in each else FileSource(self._path(each))
                for each in self.revocation.crl
            ],
            at_least_every=timedelta(seconds=self.revocation.refresh),
            watch=watch,
        )

    def _read(self, name: str, at_most: int) -> bytes:
        return read_whole(self._path(name), at_most=at_most, refusal=ConfigurationInvalid)

    def _path(self, name: str) -> Path:
        return self.folder / name


def _no_bank(problem: str) -> ConfigurationInvalid:
    return ConfigurationInvalid(
        problem, remedy="Name a bank's folder, or make one: `ushield bank init DIR --ca FILE`."
    )
