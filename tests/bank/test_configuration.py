"""A bank's folder says what the bank takes: its policy, its CRLs, and what it must not say."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from tests.bank.banking import Holder, confirm_copy, order
from tests.bank.lifecycle.desk import MAKER, MODEL, HeldToken
from tests.bank.revocations import crl
from tests.pki import Signer, authority, pem
from ushield.algorithms import KeyAlgorithm
from ushield.bank import Bank, Challenge, RejectionReason, TransactionRejected
from ushield.bank.configuration import BankConfiguration, ConfigurationInvalid
from ushield.bank.lifecycle.attestations import keep_attestation
from ushield.bank.policy import PolicyInvalid, PolicyRefused
from ushield.bank.revocation import Knowledge
from ushield.bank.service.archive_jobs import ArchiveJobs
from ushield.cms import BlindStatement
from ushield.errors import InputInvalid

BLIND_CA = "Test Bank Blind CA"
DAY = timedelta(days=1)
POLICY = """
version = 1
[default]
kinds = ["transfer"]
attestation = "optional"
amount.any.CNY = "1300"
[default.blind]
kinds = ["transfer"]
amount.CNY = "1300"
daily.CNY = "1300"
"""


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def folder(tmp_path: Path, sqlite_template: Path) -> Path:
    folder = tmp_path / "bank"
    folder.mkdir()
    shutil.copy(sqlite_template, folder / "bank.db")
    confirm_copy(f"sqlite:///{folder / 'bank.db'}")
    (folder / "ca.pem").write_bytes(pem(authority()))
    (folder / "blind.pem").write_bytes(pem(authority(BLIND_CA)))
    (folder / "policy.toml").write_text(POLICY)
    return folder


@contextmanager
def opened(folder: Path, text: str) -> Iterator[Bank]:
    (folder / "bank.toml").write_text(text)
    with BankConfiguration.load(folder).open() as bank:
        yield bank


def customer(bank: Bank, issuer: str = "Test Bank CA") -> Holder:
    signer = Signer.issued(
        KeyAlgorithm.P256,
        subject="alice",
        issuer=issuer,
        not_before=now() - DAY,
        not_after=now() + 2 * DAY,
    )
    bank.add_customer("alice")
    bank.enrol("alice", signer.der, token="US-alice")
    return Holder("alice", "US-alice", signer)


def issue(bank: Bank) -> Challenge:
    return bank.issue(order(), customer="alice")


def reason(bank: Bank, challenge: Challenge, signature: bytes) -> RejectionReason:
    with pytest.raises(TransactionRejected) as caught:
        bank.accept(challenge.id, signature)
    return caught.value.reason


def test_the_policy_s_file_decides(folder: Path) -> None:
    with opened(folder, 'policy = "policy.toml"\ntime_zone = "Asia/Shanghai"\n') as bank:
        alice = customer(bank)
        first = issue(bank)
        bank.accept(first.id, alice.sign(first.message))
    (folder / "policy.toml").write_text(POLICY.replace('"1300"', '"1000"'))
    with opened(folder, 'policy = "policy.toml"\n') as bank:
        second = issue(bank)
        with pytest.raises(PolicyRefused) as caught:
            bank.accept(second.id, alice.sign(second.message))
        assert caught.value.rule == "amount-over-limit"
    (folder / "policy.toml").write_text("version = 2\n")
    with pytest.raises(PolicyInvalid), opened(folder, 'policy = "policy.toml"\n'):
        pass


def test_keys_without_a_display_have_a_ca_of_their_own(folder: Path) -> None:
    with opened(folder, 'policy = "policy.toml"\nblind_ca = "blind.pem"\n') as bank:
        alice = customer(bank, BLIND_CA)
        challenge = issue(bank)
        statement = BlindStatement("US-alice", "PIV card", "piv")
        signature = alice.signer.sign(challenge.message, statement)
        bank.accept(challenge.id, signature)
    with opened(folder, 'policy = "policy.toml"\n') as bank:
        again = issue(bank)
        signature = alice.signer.sign(again.message, statement)
        assert reason(bank, again, signature) is RejectionReason.BLIND_SIGNATURE


REVOCATION = '[revocation]\ncrl = ["bank.crl"]\n'


def write_crl(folder: Path, *revoked: Signer, ends: timedelta = DAY) -> None:
    data = crl(
        *(each.certificate for each in revoked),
        this_update=now() - DAY,
        next_update=now() + ends,
    )
    (folder / "bank.crl").write_bytes(data)


def test_a_certificate_in_the_crl_signs_nothing(folder: Path) -> None:
    write_crl(folder)
    with opened(folder, REVOCATION) as bank:
        alice = customer(bank)
        first, second = issue(bank), issue(bank)
        bank.accept(first.id, alice.sign(first.message))
    write_crl(folder, alice.signer)
    with opened(folder, REVOCATION) as bank:
        signature = alice.sign(second.message)
        assert reason(bank, second, signature) is RejectionReason.CERTIFICATE_REVOKED


@pytest.mark.parametrize(
    ("write", "told"),
    [
        (lambda folder: None, RejectionReason.REVOCATION_UNKNOWN),
        (lambda folder: (folder / "bank.crl").write_bytes(b""), RejectionReason.REVOCATION_UNKNOWN),
        (
            lambda folder: write_crl(folder, ends=timedelta(seconds=-1)),
            RejectionReason.REVOCATION_STALE,
        ),
    ],
    ids=["missing", "rubbish", "stale"],
)
def test_without_a_crl_that_is_new_enough_nothing_is_accepted_and_the_log_says_why(
    folder: Path,
    write: Callable[[Path], object],
    told: RejectionReason,
    caplog: pytest.LogCaptureFixture,
) -> None:
    write(folder)
    with opened(folder, REVOCATION) as bank:
        alice = customer(bank)
        challenge = issue(bank)
        assert reason(bank, challenge, alice.sign(challenge.message)) is told
        assert told.is_trust
        assert bank.challenge(challenge.id).state == "issued"
    if told is RejectionReason.REVOCATION_UNKNOWN:
        assert "bank.crl" in caplog.text


def test_nothing_is_fetched_before_there_is_a_signature(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with opened(folder, REVOCATION) as bank:
        customer(bank)
        issue(bank)
    assert caplog.text == ""


def test_a_key_signs_only_if_a_token_of_a_known_maker_attested_it(folder: Path) -> None:
    (folder / "makers.pem").write_bytes(pem(authority(MAKER)))
    (folder / "policy.toml").write_text(POLICY.replace("optional", "required"))
    text = f'policy = "policy.toml"\n[attestation]\nmakers = "makers.pem"\nmodels = ["{MODEL}"]\n'
    with opened(folder, text) as bank:
        alice = customer(bank)
        challenge = issue(bank)
        signature = alice.sign(challenge.message)
        assert reason(bank, challenge, signature) is RejectionReason.ATTESTATION_MISSING
        key = alice.signer.key
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        attested = HeldToken(alice.token, key).attestation()
        digest = sha256(alice.signer.der).digest()
        bank.store.write(lambda connection: keep_attestation(connection, digest, attested))
        bank.accept(challenge.id, signature)
    with opened(folder, text.replace(MODEL, "another")) as bank:
        challenge = issue(bank)
        signature = alice.sign(challenge.message)
        assert reason(bank, challenge, signature) is RejectionReason.ATTESTATION_INVALID


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("policy = 5", "policy: must be a text"),
        ('time_zone = "Mars/Olympus"', "time_zone"),
        ('time_zone = "../../etc/passwd"', "time_zone"),
        ('blind_ca = "blind.pem"', "blind_ca: only a policy"),
        ('policy = "policy.toml"\naccept_virtual = true', "accept_virtual"),
        ("revocation = 5", "revocation: must be a table"),
        ("[revocation]", "revocation.crl or revocation.ocsp"),
        ("[revocation]\nocsp = []", "revocation.ocsp"),
        ('[revocation]\nocsp = ["bank.ocsp"]', "only http and https"),
        ('[revocation]\nocsp = ["http://a/"]\nocsp_nonce = 1', "revocation.ocsp_nonce"),
        ("[revocation]\ncrl = [5]", "revocation.crl"),
        ('[revocation]\ncrl = ["ftp://host/crl"]', "only http and https"),
        ('[revocation]\ncrl = ["a"]\nrefresh = 0', "revocation.refresh"),
        ('[revocation]\ncrl = ["a"]\nnonsense = 1', "revocation.nonsense: unknown"),
        ('[attestation]\nmodels = ["US-1"]', "attestation.makers"),
        ('[attestation]\nmakers = "ca.pem"', "attestation.models"),
    ],
)
def test_what_makes_no_sense_is_refused_by_its_name(folder: Path, text: str, told: str) -> None:
    with pytest.raises(ConfigurationInvalid) as caught, opened(folder, text):
        pass
    assert told in str(caught.value)
    assert caught.value.remedy


@pytest.mark.parametrize("name", ["policy", "ca"])
def test_a_file_that_is_not_there_is_told(folder: Path, name: str) -> None:
    with pytest.raises(ConfigurationInvalid) as caught, opened(folder, f'{name} = "none"'):
        pass
    assert str(folder / "none") in str(caught.value)


def test_archives_are_verified_by_the_lists_of_all_years_that_are_there_now(folder: Path) -> None:
    (folder / "bank.toml").write_text('revocation_history = "crls"\n')
    jobs = ArchiveJobs(BankConfiguration.load(folder))
    with pytest.raises(InputInvalid):
        jobs(Knowledge.THEN)
    (folder / "crls").mkdir()
    write_crl(folder / "crls")
    job = jobs(Knowledge.THEN)
    assert job.revocation is not None
    assert len(job.revocation.lists) == 1
    assert jobs(Knowledge.THEN) is job
    (folder / "crls" / "older.crl").write_bytes(
        crl(this_update=now() - 2 * DAY, next_update=now() - DAY)
    )
    found = jobs(Knowledge.THEN).revocation
    assert found is not None
    assert len(found.lists) == 2
