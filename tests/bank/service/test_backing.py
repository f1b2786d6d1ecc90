"""What a bank's folder gives its service: what is there is served, and what is not, is not."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography import x509

from tests.cli.conftest import run
from tests.pki import authority, pem
from ushield.bank.configuration import BankConfiguration
from ushield.bank.service.backing import backing_of


def done(*arguments: str) -> None:
    result = run("bank", *arguments)
    assert result.exit_code == 0, result.stderr


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A bank with a CA of its own."""
    folder = tmp_path / "bank"
    done("init", str(folder), "--own-ca", "Example Bank")
    return folder


def test_a_bank_whose_ca_is_elsewhere_serves_none(tmp_path: Path) -> None:
    folder = tmp_path / "bank"
    (tmp_path / "ca.pem").write_bytes(pem(authority()))
    done("init", str(folder), "--ca", str(tmp_path / "ca.pem"))
    configuration = BankConfiguration.load(folder)
    with configuration.open() as bank:
        backing = backing_of(configuration, bank)
    assert (backing.audit_key, backing.audit_signer) != (None, None)
    assert (backing.enrolments, backing.revocations) == (None, None)
    assert (backing.ocsp, backing.crl) == (None, None)


def test_a_bank_with_a_ca_of_its_own_serves_its_crl_as_it_was_published(folder: Path) -> None:
    configuration = BankConfiguration.load(folder)
    with configuration.open() as bank:
        backing = backing_of(configuration, bank)
        assert backing.ocsp is not None
        assert backing.revocations is not None
        assert backing.enrolments is None
        assert backing.crl is not None
        assert backing.crl() is None
        numbers = []
        for form in ((), ("--pem",)):
            done("crl", "--bank", str(folder), *form)
            crl = x509.load_der_x509_crl(backing.crl() or b"")
            number = crl.extensions.get_extension_for_class(x509.CRLNumber)
            numbers.append(number.value.crl_number)
    assert numbers[0] < numbers[1]


def test_tokens_are_enrolled_where_their_makers_are_known_and_unblocked_where_the_key_is(
    folder: Path,
) -> None:
    (folder / "makers.pem").write_bytes(pem(authority("Token Maker")))
    with (folder / "bank.toml").open("a") as stream:
        stream.write('[attestation]\nmakers = "makers.pem"\nmodels = ["S2"]\n')
    configuration = BankConfiguration.load(folder)
    with configuration.open() as bank:
        backing = backing_of(configuration, bank)
        assert backing.enrolments is not None
        assert backing.enrolments.waiting() == []
        assert backing.unblocking is not None
        (folder / configuration.unblock_key).unlink()
        assert backing_of(configuration, bank).unblocking is None
