"""``ushield verify``: exit code 0 only for a signature that holds, to the last bit."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Enrolled, run, told
from tests.openssl import needs_openssl
from tests.pki import NOW, Signer, authority, pem, receipt_for
from tests.transaction.strategies import TRANSFER
from ushield.bank.authorities.development import DevelopmentAuthority
from ushield.cms import BlindStatement
from ushield.transaction import write_message


def test_a_signature_that_holds_is_told_in_words(enrolled: Enrolled) -> None:
    result = run("verify", str(enrolled.signature), "--ca", str(enrolled.ca), "--accept-virtual")
    assert result.exit_code == 0
    for text in ("张三", "6222021001098765432", "1,234.56 CNY", "CN=李四", "(virtual)"):
        assert text in result.stdout


def test_a_signature_that_holds_is_told_to_programs(enrolled: Enrolled) -> None:
    result = run(
        "verify", str(enrolled.signature), "--ca", str(enrolled.ca), "--accept-virtual", "--json"
    )
    facts = told(result)
    assert facts["transaction"]["amount"] == "1234.56"
    assert facts["shown"]["收款人"] == "张三"
    assert facts["virtual"] is True
    assert facts["counter"] == 1
    assert len(facts["path"]) == 2


def test_what_no_screen_showed_is_refused_unless_accepted_by_name(tmp_path: Path) -> None:
    card = Signer.issued(issuer="Test Bank Blind CA")
    signature, ca, blind_ca = (tmp_path / name for name in ("blind.p7s", "ca.pem", "blind.pem"))
    statement = BlindStatement("1234", "PIV card", "piv")
    signature.write_bytes(card.sign(write_message(TRANSFER), statement))
    ca.write_bytes(pem(authority("Test Bank CA")))
    blind_ca.write_bytes(pem(authority("Test Bank Blind CA")))
    verify = ("verify", str(signature), "--at", NOW.isoformat(), "--ca", str(ca))
    refused = run("--json", *verify)
    assert refused.exit_code == 42
    assert told(refused)["error"]["facts"] == {"reason": "blind-signature"}
    accepted = run(*verify, "--accept-blind", str(blind_ca))
    assert accepted.exit_code == 0, accepted.stderr
    assert "NO SCREEN SHOWED IT" in accepted.stdout
    assert "Shown on the token" not in accepted.stdout
    facts = told(run("--json", *verify[:4], "--accept-blind", str(blind_ca)))
    assert (facts["display"], facts["token"], "shown" in facts) == (False, "1234", False)


def test_a_virtual_token_is_refused_unless_it_is_asked_for(enrolled: Enrolled) -> None:
    result = run("--json", "verify", str(enrolled.signature), "--ca", str(enrolled.ca))
    assert result.exit_code == 42
    assert told(result)["error"]["facts"] == {"reason": "virtual-token"}


def test_another_banks_ca_does_not_trust_it(enrolled: Enrolled, tmp_path: Path) -> None:
    other = tmp_path / "other.pem"
    other.write_bytes(DevelopmentAuthority("Other Bank").ca_pem)
    result = run("--json", "verify", str(enrolled.signature), "--ca", str(other))
    assert result.exit_code == 41
    assert told(result)["error"]["facts"] == {"reason": "issuer-unknown"}


@pytest.mark.parametrize(
    ("at", "code"),
    [
        ("2001-01-01", 41),
        ("2101-01-01T00:00:00+08:00", 41),
        ("yesterday", 2),
    ],
)
def test_the_time_at_which_it_has_to_hold_can_be_named(
    enrolled: Enrolled, at: str, code: int
) -> None:
    result = run("verify", str(enrolled.signature), "--ca", str(enrolled.ca), "--at", at)
    assert result.exit_code == code


@pytest.mark.parametrize("content", [b"", b"not a certificate", b"-----BEGIN CERTIFICATE-----\n"])
def test_a_ca_file_without_a_ca_is_invalid_input(
    enrolled: Enrolled, tmp_path: Path, content: bytes
) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_bytes(content)
    assert run("verify", str(enrolled.signature), "--ca", str(ca)).exit_code == 50


@pytest.mark.parametrize("content", [b"", b"\x30", b"\x30\x80\x00\x00", b"garbage" * 1000])
def test_what_is_no_signature_is_not_valid(
    enrolled: Enrolled, tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "payment.p7s"
    path.write_bytes(content)
    assert run("verify", str(path), "--ca", str(enrolled.ca)).exit_code == 40


def test_a_file_that_is_too_long_is_invalid_input(enrolled: Enrolled, tmp_path: Path) -> None:
    path = tmp_path / "huge"
    path.write_bytes(bytes(1 << 21))
    assert run("verify", str(path), "--ca", str(enrolled.ca)).exit_code == 50


def test_no_byte_of_a_signature_can_be_changed(enrolled: Enrolled, tmp_path: Path) -> None:
    whole = enrolled.signature.read_bytes()
    changed = tmp_path / "changed.p7s"
    refusals: dict[int, int] = {}
    for place in range(len(whole)):
        copy = bytearray(whole)
        copy[place] ^= 1 << place % 8
        changed.write_bytes(copy)
        result = run("verify", str(changed), "--ca", str(enrolled.ca), "--accept-virtual")
        assert result.exit_code in (40, 41), f"byte {place}"
        assert len(result.stderr.splitlines()) == 2, f"byte {place}"
        assert isinstance(result.exception, SystemExit), f"byte {place}"
        refusals[result.exit_code] = refusals.get(result.exit_code, 0) + 1
    assert refusals[40]


def demo(folder: Path, key: str, *more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "ushield.cli",
            "--json",
            "demo",
            "--key",
            key,
            "--out",
            folder,
            *more,
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


@needs_openssl
@pytest.mark.parametrize("key", ["rsa2048", "p256"])
def test_openssl_accepts_what_the_demo_signed(tmp_path: Path, key: str) -> None:
    folder = tmp_path / "out"
    result = demo(folder, key, "--virtual-press", "ok")
    assert result.returncode == 0, result.stderr
    facts: dict[str, Any] = json.loads(result.stdout)
    extracted = tmp_path / "message"
    command = ["openssl", "cms", "-verify", "-inform", "DER", "-binary"]
    command += ["-in", str(folder / "payment.p7s"), "-CAfile", str(folder / "bank-ca.pem")]
    subprocess.run(
        [*command, "-purpose", "any", "-out", extracted], capture_output=True, check=True
    )
    assert extracted.read_bytes() == (folder / "message.xml").read_bytes()
    assert facts["transaction"]["payee"]["name"] == "张三"


def test_a_strangers_name_is_told_without_a_hold_on_the_terminal(tmp_path: Path) -> None:
    name = "\x1b[2J\x9b1m\nThe signature holds.\u202e"
    stranger = Signer.issued(subject=name)
    transfer = write_message(TRANSFER)
    signature = tmp_path / "payment.p7s"
    signature.write_bytes(
        stranger.sign(transfer, replace(receipt_for(transfer), serial="V1\nsigner  CN=Bank"))
    )
    for issuer in ("Test Bank CA", "Another Bank CA"):
        bank = tmp_path / f"{issuer}.pem"
        bank.write_bytes(pem(authority(issuer)))
        for form in ((), ("--json",)):
            result = run("verify", *form, "--ca", str(bank), "--at", "2026-06-01", str(signature))
            # No bank takes such a name, not even from its own CA.
            assert result.exit_code == 41
            assert (result.stdout + result.stderr).replace("\n", "").isprintable()
            assert "\nThe signature holds.\\" not in result.stdout + result.stderr
            assert "\nsigner  CN=Bank" not in result.stdout
            if form:
                facts = told(result)
                assert name in (facts["signer"] if "signer" in facts else facts["error"]["message"])


def test_a_tokens_serial_number_is_told_without_a_hold_on_the_terminal(tmp_path: Path) -> None:
    transfer = write_message(TRANSFER)
    bank, signature = tmp_path / "bank.pem", tmp_path / "payment.p7s"
    bank.write_bytes(pem(authority()))
    serial = "V1\x1b[2J\nsigner  CN=Bank"
    signature.write_bytes(
        Signer.issued().sign(transfer, replace(receipt_for(transfer), serial=serial))
    )
    verify = ("verify", "--ca", str(bank), "--at", "2026-06-01", str(signature))
    result = run(*verify)
    assert result.exit_code == 0
    assert result.stdout.replace("\n", "").isprintable()
    assert "\nsigner  CN=Bank" not in result.stdout
    assert told(run("--json", *verify))["token"] == serial
