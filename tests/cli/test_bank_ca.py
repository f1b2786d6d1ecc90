"""``ushield bank ca`` and ``crl``: a bank with a CA of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from tests.cli.conftest import run, told
from tests.pki import authority, pem
from ushield.bank import TrustStore
from ushield.bank.authorities import AuthorityKey
from ushield.errors import InputInvalid


def made(folder: Path, *arguments: str) -> Path:
    result = run("bank", "init", str(folder), *arguments)
    assert result.exit_code == 0, result.stderr
    return folder


def done(folder: Path, command: str, *arguments: str) -> dict[str, Any]:
    result = run("--json", "bank", *command.split(), *arguments, "--bank", str(folder))
    assert result.exit_code == 0, result.stderr
    return told(result)


def refused(folder: Path, code: int, command: str, *arguments: str) -> str:
    result = run("--json", "bank", *command.split(), *arguments, "--bank", str(folder))
    assert result.exit_code == code, result.stderr
    return str(told(result)["error"]["message"])


def test_a_bank_makes_itself_a_ca_and_trusts_it(tmp_path: Path) -> None:
    folder = made(tmp_path / "bank", "--own-ca", "测试银行")
    assert (folder / "authority-key.pem").stat().st_mode & 0o777 == 0o600
    (anchor,) = TrustStore.load((folder / "ca.pem").read_bytes()).anchors
    shown = done(folder, "ca show")
    assert shown["kind"] == "embedded"
    assert [each["subject"] for each in shown["chain"]] == [anchor.subject.rfc4514_string()]
    assert "测试银行 CA" in run("bank", "ca", "show", "--bank", str(folder)).stdout


def test_its_key_may_have_a_passphrase_in_a_file(tmp_path: Path) -> None:
    secret = tmp_path / "passphrase"
    secret.write_text("correct horse\n")
    secret.chmod(0o600)
    given = ("--own-ca", "Bank", "--ca-passphrase-file", str(secret))
    folder = made(tmp_path / "bank", *given)
    assert done(folder, "ca show")["chain"]
    with pytest.raises(InputInvalid):
        AuthorityKey.load(folder / "authority-key.pem", folder / "authority.pem")
    secret.write_text("wrong\n")
    assert "correct" not in refused(folder, 50, "crl")
    secret.chmod(0o644)
    assert "other users" in refused(folder, 50, "crl")


def test_crls_are_published_one_after_another(tmp_path: Path) -> None:
    folder = made(tmp_path / "bank", "--own-ca", "Bank")
    assert done(folder, "crl")["number"] == 1
    crl = x509.load_der_x509_crl((folder / "bank.crl").read_bytes())
    assert len(crl) == 0
    out = tmp_path / "published.pem"
    assert done(folder, "crl", "--pem", "-o", str(out))["number"] == 2
    assert out.read_bytes().startswith(b"-----BEGIN X509 CRL")
    assert "61" not in refused(folder, 61, "crl", "-o", str(tmp_path / "none" / "bank.crl"))


def test_the_file_and_the_life_of_a_crl_are_the_bank_s(tmp_path: Path) -> None:
    folder = made(tmp_path / "bank", "--own-ca", "Bank")
    with (folder / "bank.toml").open("a") as stream:
        stream.write('crl = "published/now.crl"\ncrl_hours = 2\n')
    (folder / "published").mkdir()
    facts = done(folder, "crl")
    assert facts["file"] == str(folder / "published" / "now.crl")
    crl = x509.load_der_x509_crl(Path(facts["file"]).read_bytes())
    assert crl.next_update_utc is not None
    assert (crl.next_update_utc - crl.last_update_utc).total_seconds() == 7200


@pytest.mark.parametrize(
    ("line", "about"),
    [
        ('kind = "token"', "kind"),
        ("", "kind"),
        ('kind = "embedded"\nkeys = "k"', "keys"),
        ('kind = "embedded"\ncrl_hours = "2"', "crl_hours"),
        ('kind = "embedded"\ncrl_hours = 0', "crl_hours"),
        ('kind = "embedded"\ncrl_urls = "http://here"', "crl_urls"),
        ('kind = "embedded"\ncrl_urls = [1]', "crl_urls"),
        ('kind = "embedded"\nocsp_urls = ["here"]', "ocsp_urls"),
        ('kind = "cmp"\nchain = "ca.pem"', "url"),
        ('kind = "cmp"\nurl = "http://ca/"', "chain"),
        ('kind = "cmp"\nurl = "http://ca/"\nchain = "ca.pem"', "secret_file"),
        ('kind = "cmp"\nurl = "http://ca/"\nchain = "c"\nra_key = "k"', "secret_file"),
        ('kind = "cmp"\nurl = "http://ca/"\nchain = "c"\nsecret_file = "s"', "reference"),
        (
            'kind = "cmp"\nurl = "u"\nchain = "c"\nsecret_file = "s"\nreference = "r"\ntimeout = 0',
            "timeout",
        ),
    ],
)
def test_what_the_section_may_not_say_is_refused(tmp_path: Path, line: str, about: str) -> None:
    folder = made(tmp_path / "bank", "--own-ca", "Bank")
    (folder / "bank.toml").write_text(f"[authority]\n{line}\n")
    assert f"authority.{about}" in refused(folder, 50, "ca show")


def test_a_ca_elsewhere_is_shown_and_publishes_itself(tmp_path: Path) -> None:
    folder = made(tmp_path / "bank", "--own-ca", "Bank")
    (folder / "secret").write_text("0123456789abcdef\n")
    (folder / "secret").chmod(0o600)
    elsewhere = '[authority]\nkind = "cmp"\nurl = "http://ca.example/"\nchain = "ca.pem"\n'
    with_secret = 'secret_file = "secret"\nreference = "bank"\n'
    with_key = 'ra_key = "authority-key.pem"\nra_chain = "authority.pem"\n'
    for how in (with_secret, with_key, with_key + 'responders = "ca.pem"\n'):
        (folder / "bank.toml").write_text(elsewhere + how)
        shown = done(folder, "ca show")
        assert shown["kind"] == "cmp"
        assert len(shown["chain"]) == 1
    result = run("bank", "crl", "--bank", str(folder))
    assert result.exit_code == 2
    assert "publishes its CRL itself" in result.stderr
    (folder / "bank.toml").write_text(elsewhere.replace("http", "ftp") + with_secret)
    assert "http or https" in refused(folder, 50, "ca show")
    (folder / "secret").write_text("guessable\n")
    (folder / "bank.toml").write_text(elsewhere + with_secret)
    assert "guessable" not in refused(folder, 50, "ca show")


def test_a_bank_that_issues_nothing_has_no_crl(tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_bytes(pem(authority()))
    folder = made(tmp_path / "bank", "--ca", str(ca))
    assert "no CA that issues" in refused(folder, 50, "crl")
    assert "no CA that issues" in refused(folder, 50, "ca show")


def test_a_new_bank_has_one_kind_of_ca(tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_bytes(pem(authority()))
    for wrong in (
        ("--ca", str(ca), "--own-ca", "Bank"),
        ("--ca", str(ca), "--ca-passphrase-file", str(ca)),
        (),
    ):
        assert run("bank", "init", str(tmp_path / "bank"), *wrong).exit_code == 2
    assert not (tmp_path / "bank").exists()
    assert run("bank", "init", str(tmp_path / "bank"), "--own-ca", "B" * 61).exit_code == 50
    assert not (tmp_path / "bank").exists()
    folder = made(tmp_path / "bank", "--own-ca", "Bank")
    before = (folder / "authority-key.pem").read_bytes()
    assert run("bank", "init", str(folder), "--own-ca", "Bank").exit_code == 2
    assert (folder / "authority-key.pem").read_bytes() == before
    assert json.loads(run("--json", "bank", "init", str(folder)).stdout)["new"] is False
