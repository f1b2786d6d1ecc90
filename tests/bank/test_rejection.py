"""A rejection has a reason that programs and exit codes rely on."""

from __future__ import annotations

import pickle
import subprocess
import sys

import pytest

from ushield.bank import RejectionReason, TransactionRejected
from ushield.cms import SignedDataFault

TRUST = {
    "certificate-invalid",
    "certificate-expired",
    "certificate-not-yet-valid",
    "certificate-usage",
    "certificate-is-ca",
    "key-too-weak",
    "issuer-unknown",
    "path-invalid",
    "certificate-revoked",
    "issuer-revoked",
    "revocation-unknown",
    "revocation-stale",
    "revocation-gap",
    "token-lost",
    "attestation-missing",
    "attestation-invalid",
    "certificate-not-enrolled",
    "certificate-suspended",
}


def test_reasons_about_the_signer_are_about_trust_and_no_others() -> None:
    assert {reason.value for reason in RejectionReason if reason.is_trust} == TRUST


def test_reasons_about_the_kind_of_token_are_about_policy_and_no_others() -> None:
    policy = {reason.value for reason in RejectionReason if reason.is_policy}
    assert policy == {"blind-signature", "policy-refused", "virtual-token"}
    assert not policy & TRUST


@pytest.mark.parametrize("fault", SignedDataFault)
def test_every_fault_of_a_signed_data_is_a_reason(fault: SignedDataFault) -> None:
    assert RejectionReason(fault.value).name == fault.name


@pytest.mark.parametrize("reason", RejectionReason)
def test_a_rejection_carries_its_reason_and_a_remedy_and_survives_pickling(
    reason: RejectionReason,
) -> None:
    error = pickle.loads(pickle.dumps(TransactionRejected("no", reason=reason)))
    assert (error.code, str(error), error.reason) == ("transaction-rejected", "no", reason)
    assert error.facts == {"reason": reason}
    assert error.remedy


def test_importing_the_package_loads_no_cryptography() -> None:
    code = (
        "import sys, ushield.bank; from ushield.bank import TransactionRejected;"
        "sys.exit('cryptography' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
