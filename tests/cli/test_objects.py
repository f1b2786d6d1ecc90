"""``ushield info``, ``key``, ``cert`` and ``vouchers``: what is on a token, how it got there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tests.cli.conftest import PAYMENT, Enrolled, run, told
from ushield.bank.authorities.development import DevelopmentAuthority


def test_info_tells_the_token_without_a_pin(enrolled: Enrolled) -> None:
    facts = told(enrolled.run("info", "--json"))
    assert facts["model"].endswith("(virtual)")
    assert "display-signing" in facts["capabilities"]
    assert facts["pin"]["user"]["tries_left"] == 6
    assert facts["counters"]["signatures"] == 1
    assert (facts["max_keys"], facts["max_certificate"]) == (16, 8192)
    (leaf, authority) = sorted(
        facts["certificates"], key=lambda one: str(one["category"]), reverse=True
    )
    assert (leaf["category"], leaf["findings"]) == ("user", [])
    assert authority["category"] == "authority"
    text = enrolled.run("info").stdout
    assert facts["serial"] in text
    assert "no hardware guards its keys" in text
    assert "in order" in text
    assert "signatures 1, unblocks by the bank 0" in text


def test_a_made_key_is_listed(enrolled: Enrolled) -> None:
    pin = enrolled.secret(enrolled.pin)
    made = enrolled.run(
        "--json", "key", "generate", "--algorithm", "p384", "--usage", "authentication",
        "--label", "login", "--pin-file", pin,
    )  # fmt: skip
    assert made.exit_code == 0, made.stderr
    keys = told(enrolled.run("--json", "key", "list"))["keys"]
    assert told(made) in keys
    assert {(key["label"], key["algorithm"], key["usage"]) for key in keys} == {
        ("signing", "p256", "display"),
        ("login", "p384", "authentication"),
    }
    assert "login" in enrolled.run("key", "list").stdout


def test_a_key_is_deleted_with_its_certificate(enrolled: Enrolled) -> None:
    delete = ["--json", "key", "delete", "signing", "--pin-file", enrolled.secret(enrolled.pin)]
    unasked = enrolled.run(*delete)
    assert unasked.exit_code == 2
    assert "--yes" in told(unasked)["error"]["message"]
    deleted = enrolled.run(*delete, "--yes")
    assert deleted.exit_code == 0, deleted.stderr
    assert told(deleted)["label"] == "signing"
    assert told(enrolled.run("--json", "key", "list"))["keys"] == []
    (authority,) = told(enrolled.run("--json", "cert", "list"))["certificates"]
    assert authority["category"] == "authority"
    assert enrolled.run(*delete, "--yes").exit_code == 50


def test_deleting_a_key_wants_the_pin(enrolled: Enrolled) -> None:
    wrong = enrolled.secret("97531086")
    delete = ["key", "delete", "signing", "--yes"]
    assert enrolled.run(*delete).exit_code == 2
    assert enrolled.run(*delete, "--pin-file", wrong).exit_code == 20
    assert len(told(enrolled.run("--json", "key", "list"))["keys"]) == 1


def test_an_empty_token_has_nothing_to_list(tmp_path: Path) -> None:
    path = str(tmp_path / "new.token")
    run("virtual", "create", path)
    spec = ["--token", f"virtual:{path}"]
    assert "No keys" in run(*spec, "key", "list").stdout
    assert "No certificates" in run(*spec, "cert", "list").stdout
    assert "No certificates" in run(*spec, "cert", "health").stdout


def test_a_requested_certificate_is_imported_and_signs(enrolled: Enrolled) -> None:
    pin = enrolled.secret(enrolled.pin)
    bank = DevelopmentAuthority("Demo Bank")
    enrolled.run("key", "generate", "--algorithm", "p256", "--label", "second", "--pin-file", pin)
    csr, issued = enrolled.folder / "second.csr", enrolled.folder / "second.pem"
    asked = enrolled.run(
        "--json", "cert", "request", "--key", "second", "--subject", "CN=王五,C=CN",
        "-o", str(csr), "--pin-file", pin, "--virtual-press", "ok",
    )  # fmt: skip
    assert asked.exit_code == 0, asked.stderr
    request = x509.load_pem_x509_csr(csr.read_bytes())
    assert request.is_signature_valid
    assert told(asked)["subject"] == request.subject.rfc4514_string() == "CN=王五,C=CN"
    issued.write_bytes(bank.issue(request.public_bytes(Encoding.DER)))
    imported = enrolled.run("--json", "cert", "import", str(issued), "--pin-file", pin)
    assert imported.exit_code == 0, imported.stderr
    assert [one["label"] for one in told(imported)["certificates"]] == ["second"]

    # The token has the CA of the first bank, which has the same name and another key.
    health = ["--json", "cert", "health", "--label", "second"]
    (found,) = told(enrolled.run(*health))["certificates"]
    assert [finding["kind"] for finding in found["findings"]] == ["chain-broken"]
    ca = enrolled.folder / "second-ca.pem"
    ca.write_bytes(bank.ca_pem)
    (found,) = told(enrolled.run(*health, "--ca", str(ca)))["certificates"]
    assert found["findings"] == []

    out = str(enrolled.folder / "second.p7s")
    sign = ["sign", enrolled.payment(), "-o", out, "--pin-file", pin, "--virtual-press", "ok"]
    ambiguous = enrolled.run(*sign)
    assert ambiguous.exit_code == 50
    assert enrolled.run(*sign, "--key", "second").exit_code == 0
    assert run("verify", out, "--ca", str(ca), "--accept-virtual").exit_code == 0
    assert run("verify", out, "--ca", str(enrolled.ca)).exit_code == 41


@pytest.mark.parametrize(
    ("more", "code"),
    [
        (["--virtual-press", "cancel"], 30),
        (["--virtual-press", "none", "--timeout", "0.3"], 31),
        ([], 2),
    ],
    ids=str,
)
def test_a_request_that_is_not_confirmed_is_not_written(
    enrolled: Enrolled, more: list[str], code: int
) -> None:
    before = set(os.listdir(enrolled.folder))
    pin = enrolled.secret(enrolled.pin)
    out = str(enrolled.folder / "new.csr")
    request = ["cert", "request", "--key", "signing", "--subject", "CN=李四", "-o", out]
    assert enrolled.run(*request, "--pin-file", pin, *more).exit_code == code
    assert set(os.listdir(enrolled.folder)) - before == {os.path.basename(pin)}


def test_a_subject_that_is_no_name_is_refused(enrolled: Enrolled) -> None:
    request = ["cert", "request", "--key", "signing", "--subject", "李四", "-o", "x"]
    result = enrolled.run(
        *request, "--virtual-press", "ok", "--pin-file", enrolled.secret(enrolled.pin)
    )
    assert result.exit_code == 50
    assert "CN=" in result.stderr


def test_a_certificate_is_exported_with_its_chain(enrolled: Enrolled) -> None:
    leaf = (enrolled.folder / "token.pem").read_text()
    assert enrolled.run("cert", "export", "--label", "signing").stdout == leaf
    out = enrolled.folder / "chain.pem"
    export = ["cert", "export", "--label", "signing", "--chain", "-o", str(out)]
    assert enrolled.run(*export).exit_code == 0
    assert out.read_text() == leaf + enrolled.ca.read_text()
    assert enrolled.run(*export).exit_code == 2
    assert enrolled.run(*export, "--force").exit_code == 0


def test_a_certificate_is_named_by_its_id(enrolled: Enrolled) -> None:
    (key,) = told(enrolled.run("key", "list", "--json"))["keys"]
    exported = enrolled.run("cert", "export", "--id", key["id"], "--json")
    assert told(exported)["label"] == "signing"
    assert enrolled.run("cert", "export", "--id", "zz").exit_code == 2
    assert enrolled.run("cert", "export", "--id", "00").exit_code == 50
    assert enrolled.run("cert", "export").exit_code == 2


def test_a_certificate_is_named_by_its_slot_where_nothing_else_tells_it_apart(
    enrolled: Enrolled,
) -> None:
    listed = told(enrolled.run("cert", "list", "--json"))["certificates"]
    (authority,) = (one for one in listed if one["category"] == "authority")
    slot = str(authority["slot"])
    assert told(enrolled.run("cert", "export", "--slot", slot, "--json"))["id"] == ""
    assert enrolled.run("cert", "export", "--slot", "99").exit_code == 50
    assert enrolled.run("cert", "export", "--slot", slot, "--label", "signing").exit_code == 50
    assert f"{slot}  ----" in enrolled.run("cert", "list").stdout


def test_the_health_of_what_is_not_there_is_not_told(enrolled: Enrolled) -> None:
    for which in (["--label", "nope"], ["--id", "00"], ["--slot", "99"]):
        assert enrolled.run("cert", "health", *which).exit_code == 50


def test_a_key_is_named_by_its_id_where_labels_are_the_same(enrolled: Enrolled) -> None:
    pin = ["--pin-file", enrolled.secret(enrolled.pin)]
    enrolled.run("key", "generate", "--algorithm", "p256", "--label", "signing", *pin)
    by_label, *by_ids = [
        "signing",
        *(k["id"] for k in told(enrolled.run("--json", "key", "list"))["keys"]),
    ]
    out = str(enrolled.folder / "new.csr")
    request = ["cert", "request", "--subject", "CN=a", "-o", out, "--virtual-press", "ok", *pin]
    ambiguous = enrolled.run(*request, "--key", by_label)
    assert ambiguous.exit_code == 50
    assert "there are 2" in ambiguous.stderr
    for key_id in by_ids:
        made = enrolled.run("--json", *request, "--force", "--key", key_id.upper())
        assert told(made)["id"] == key_id


@pytest.mark.parametrize("content", [b"", b"garbage", b"-----BEGIN CERTIFICATE-----\nAAAA\n"])
def test_what_is_no_certificate_is_not_stored(enrolled: Enrolled, content: bytes) -> None:
    path = enrolled.folder / "bad.pem"
    path.write_bytes(content)
    result = enrolled.run("cert", "import", str(path), "--pin-file", enrolled.secret(enrolled.pin))
    assert result.exit_code == 50
    assert len(told(enrolled.run("--json", "cert", "list"))["certificates"]) == 2


def test_a_certificate_whose_key_is_elsewhere_is_not_stored(
    enrolled: Enrolled, tmp_path: Path
) -> None:
    result = run("demo", "--key", "p256", "--out", str(tmp_path / "other"))
    assert result.exit_code == 0
    foreign = str(tmp_path / "other" / "token.pem")
    result = enrolled.run(
        "--json", "cert", "import", foreign, "--pin-file", enrolled.secret(enrolled.pin)
    )
    assert result.exit_code == 50
    assert told(result)["error"]["code"] == "certificate-key-missing"


def test_a_deleted_certificate_leaves_its_key(enrolled: Enrolled) -> None:
    delete = ["cert", "delete", "--label", "signing"]
    delete += ["--pin-file", enrolled.secret(enrolled.pin)]
    assert enrolled.run(*delete).exit_code == 0
    assert enrolled.run(*delete).exit_code == 50
    assert len(told(enrolled.run("--json", "key", "list"))["keys"]) == 1
    assert len(told(enrolled.run("--json", "cert", "list"))["certificates"]) == 1


def test_the_tokens_own_log_tells_what_it_signed_newest_first(enrolled: Enrolled) -> None:
    pin = enrolled.secret(enrolled.pin)
    out = str(enrolled.folder / "second.p7s")
    payment = enrolled.payment(amount="7.00")
    sign = ["sign", payment, "-o", out, "--pin-file", pin, "--virtual-press", "ok"]
    assert enrolled.run(*sign).exit_code == 0
    result = enrolled.run("--json", "vouchers", "--pin-file", pin)
    assert result.exit_code == 0, result.stderr
    second, first = told(result)["vouchers"]
    assert (second["counter"], first["counter"]) == (2, 1)
    assert second["transaction"] == PAYMENT | {"amount": "7.00"}
    assert first["transaction"]["amount"] == "1234.56"
    assert "7.00 CNY" in enrolled.run("vouchers", "--pin-file", pin).stdout


def test_the_log_wants_the_pin(enrolled: Enrolled) -> None:
    assert enrolled.run("vouchers").exit_code == 2
    wrong = enrolled.secret("97531086")
    assert enrolled.run("vouchers", "--pin-file", wrong).exit_code == 20
