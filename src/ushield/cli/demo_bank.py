"""The bank's part in the demo: a CA that is gone afterwards, or a whole bank in a folder."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

from ushield.cli.presentation import describe_fields
from ushield.transaction.message_facts import message_facts

if TYPE_CHECKING:
    from ushield.bank import RejectionReason
    from ushield.bank.configuration import BankConfiguration
    from ushield.bank.verified import VerifiedTransaction
    from ushield.keystore.objects import PrivateKey
    from ushield.signing import SigningSession
    from ushield.transaction import Transaction

__all__ = ["DemoBank", "FolderBank", "PassingBank"]

_NAME = "Demo Bank"
_CUSTOMER = "lisi"
_PERSON = "李四"

Tell = Callable[[str], None]


class DemoBank(Protocol):
    """What the story wants of a bank."""

    def unblock_key(self) -> bytes | None:
        """The key by which it could unblock a PIN (SubjectPublicKeyInfo, DER), if it has one."""

    def ca_pem(self) -> bytes:
        """Its CA's certificate."""

    def certify(self, session: SigningSession, key: PrivateKey, request: bytes) -> bytes:
        """The certificate (PEM, with its chain) for the token's request (DER)."""

    def issue(self, payment: dict[str, Any]) -> Transaction:
        """The payment that the customer is to sign."""

    def carry_out(self, signature: bytes) -> dict[str, Any]:
        """Take the signature (CMS, DER), or raise `TransactionRejected`; facts for programs."""


class PassingBank:
    """A CA in memory and nothing else: who asks is certified, what holds is carried out."""

    def __init__(self, tell: Tell) -> None:
        from ushield.bank.authorities.development import DevelopmentAuthority

        self._tell = tell
        self._authority = DevelopmentAuthority(_NAME)

    def unblock_key(self) -> bytes | None:
        """It has none."""
        return None

    def ca_pem(self) -> bytes:
        """As `DemoBank` says."""
        return self._authority.ca_pem

    def certify(self, session: SigningSession, key: PrivateKey, request: bytes) -> bytes:
        """As `DemoBank` says."""
        del session, key
        self._tell("The bank's CA issues the certificate, and the token stores it with the CA's.")
        return self._authority.issue(request) + self._authority.ca_pem

    def issue(self, payment: dict[str, Any]) -> Transaction:
        """As `DemoBank` says, with a challenge that nobody remembers."""
        from ushield.transaction import from_json

        return from_json(payment, challenge=secrets.token_hex(8))

    def carry_out(self, signature: bytes) -> dict[str, Any]:
        """As `DemoBank` says."""
        from ushield.bank import TrustStore, verify_transaction

        trust = TrustStore.load(self._authority.ca_pem)
        verified = verify_transaction(signature, trust, accept_virtual=True)
        _tell_verified(self._tell, verified)
        return message_facts(verified.message) | {"signer": verified.signer}


class FolderBank:
    """A bank with a database, a CA of its own and a sealed log, for `ushield bank` to go on with.

    `make` one, and close it.
    """

    def __init__(self, folder: Path, configuration: BankConfiguration, tell: Tell) -> None:
        self._folder = folder
        self._configuration = configuration
        self._tell = tell
        self._open = ExitStack()

    @classmethod
    def make(cls, folder: Path, tell: Tell) -> Self:
        """Set it up in a new folder."""
        from ushield.bank import create_store
        from ushield.bank.moments import system_clock
        from ushield.cli.bank_folder import load_bank
        from ushield.cli.bank_making import make_bank_with_own_ca, settings_of

        tell("The bank sets up its database, a CA of its own, and the keys of its log.")
        make_bank_with_own_ca(folder, _NAME, None, settings_of(None, accept_virtual=True))
        configuration = load_bank(str(folder))
        create_store(configuration.url, system_clock())
        return cls(folder, configuration, tell)

    def close(self) -> None:
        """Let go of the database."""
        self._open.close()

    def unblock_key(self) -> bytes | None:
        """As `DemoBank` says."""
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        key = self._configuration.unblock_signer().public_key
        return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    def ca_pem(self) -> bytes:
        """As `DemoBank` says."""
        return self._configuration.read_ca()

    def certify(self, session: SigningSession, key: PrivateKey, request: bytes) -> bytes:
        """As `DemoBank` says: by a code, and the token's attestation of its key."""
        from ushield.bank import EnrolledAttestation

        token = session.token
        attested = EnrolledAttestation(token.attest(key), token.device_certificate())
        self._know_maker(attested.device, token.info.model)
        bank = self._bank = self._open.enter_context(self._configuration.open())
        enrolments = self._configuration.enrolments(bank)
        bank.add_customer(_CUSTOMER, _PERSON)
        registration = enrolments.register(_CUSTOMER, token=token.info.serial)
        self._tell(
            f"The bank registers {_PERSON} and tells a code, once: {registration.code.text}."
        )
        enrolment = enrolments.enrol(registration.code, request, attested)
        self._tell(
            "With the code come the request and the token's word that it made the key. The bank's"
            " CA\nissues the certificate, and the token stores it with the CA's."
        )
        self._enrolment = enrolment.id
        return enrolment.pem

    def issue(self, payment: dict[str, Any]) -> Transaction:
        """As `DemoBank` says: a challenge that one signature uses up."""
        from ushield.transaction import from_json

        issued = self._bank.issue(from_json(payment, challenge="draft"), customer=_CUSTOMER)
        self._challenge = issued.id
        return issued.transaction

    def carry_out(self, signature: bytes) -> dict[str, Any]:
        """As `DemoBank` says; once, and in the log."""
        from ushield.bank import VerifiedTransaction

        bank = self._bank
        accepted = bank.accept(self._challenge, signature)
        verified = accepted.verified
        # For the type checker: without a CA for them, nothing blind is accepted.
        assert isinstance(verified, VerifiedTransaction)  # noqa: S101
        _tell_verified(self._tell, verified)
        self._configuration.enrolments(bank).confirm(self._enrolment, accepted)
        replay = self._present_again(signature)
        self._tell(f"Somebody presents the signature again, and is refused: {replay}.")
        signer = self._configuration.audit_signer()
        heads = bank.sequencer(signer).seal_all()
        report = bank.verify_audit(signer.public_key, heads)
        self._tell(
            f"The bank's log of {report.entries} decisions is sealed, verified, and holds."
            f"\n  ushield bank audit verify --bank {self._folder}"
        )
        return message_facts(verified.message) | {
            "signer": verified.signer,
            "bank": str(self._folder),
            "challenge": self._challenge,
            "replay": replay.value,
            "log_entries": report.entries,
        }

    def _present_again(self, signature: bytes) -> RejectionReason:
        from ushield.bank import TransactionRejected

        try:
            self._bank.accept(self._challenge, signature)
        except TransactionRejected as refusal:
            return refusal.reason
        raise RuntimeError("one challenge was accepted twice")

    def _know_maker(self, device: bytes, model: str) -> None:
        """The bank knows its token one by one: by the certificate of its device key."""
        from cryptography import x509
        from cryptography.hazmat.primitives.serialization import Encoding

        from ushield.cli.bank_folder import load_bank
        from ushield.cli.files import write_file

        pem = x509.load_der_x509_certificate(device).public_bytes(Encoding.PEM)
        write_file(str(self._folder / "makers.pem"), pem, replace=False)
        path = self._folder / "bank.toml"
        section = f'\n[attestation]\nmakers = "makers.pem"\nmodels = [{json.dumps(model)}]\n'
        write_file(str(path), path.read_bytes() + section.encode(), replace=True)
        self._configuration = load_bank(str(self._folder))


def _tell_verified(tell: Tell, verified: VerifiedTransaction) -> None:
    tell(
        "The bank, told to take virtual tokens for this demo, verifies the signature by"
        f" {verified.signer},\ndraws the screen again and finds the same pages."
        f" What it may carry out:\n{describe_fields(verified.message.shown)}"
    )
