"""The commands on a PIV card: a virtual token, driven as the card that it also is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import Result
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from tests.cli.conftest import PAYMENT, Enrolled, run, told
from ushield.bank.authorities.development import DevelopmentAuthority
from ushield.piv.commands import DEFAULT_MANAGEMENT_KEY

PIN, PUK = "802563", "91740263"
DEFAULT = ("--management-key", "default")


class Card:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pin, self.puk = self.file("pin", PIN), self.file("puk", PUK)
        token = self.folder / "card"
        made = run("virtual", "create", str(token), "--pin-file", self.pin, "--puk-file", self.puk)
        assert made.exit_code == 0, made.stderr
        self.spec = f"virtual:{token}"

    def file(self, name: str, text: str) -> str:
        path = self.folder / name
        path.write_text(text + "\n", encoding="utf-8")
        return str(path)

    def run(self, *arguments: str) -> Result:
        return run("--token", self.spec, "--driver", "piv", "--json", *arguments)

    def done(self, *arguments: str) -> Result:
        result = self.run(*arguments)
        assert result.exit_code == 0, result.stdout + result.stderr
        return result

    def enrol(self, *policies: str) -> DevelopmentAuthority:
        """A key in 9c with a certificate, by the commands."""
        authority = DevelopmentAuthority("Blind Bank")
        generate = ("key", "generate", "--algorithm", "p256", "--slot", "9c", *policies)
        self.done(*generate, *DEFAULT)
        request = self.folder / "request.pem"
        asked = ("cert", "request", "--key", "9c", "--subject", "CN=李四,C=CN")
        self.done(*asked, "-o", str(request), "--pin-file", self.pin, "--virtual-press", "ok")
        csr = x509.load_pem_x509_csr(request.read_bytes())
        from cryptography.hazmat.primitives.serialization import Encoding

        issued = self.folder / "certificate.pem"
        issued.write_bytes(authority.issue(csr.public_bytes(Encoding.DER)))
        self.done("cert", "import", str(issued), *DEFAULT)
        return authority

    def sign(self, *more: str) -> Result:
        payment = self.file("payment.json", json.dumps(PAYMENT))
        return self.run(
            "sign", payment, "-o", str(self.folder / "out.p7s"), "--pin-file", self.pin, *more
        )


@pytest.fixture
def card(tmp_path: Path) -> Card:
    return Card(tmp_path)


def test_info_and_states_are_told(card: Card) -> None:
    facts = told(card.done("info"))
    assert (facts["driver"], facts["screen"], facts["counters"]) == ("piv", None, None)
    assert "management-key" in facts["capabilities"]
    assert facts["pin"]["user"]["tries_left"] == 6
    text = run("--token", card.spec, "info", "--driver", "piv")
    assert "6 to 8 characters" in text.stdout
    assert told(card.done("pin", "status"))["puk"]["tries_left"] == 10
    assert told(card.done("key", "list"))["keys"] == []
    assert told(card.done("cert", "list"))["certificates"] == []


def test_without_a_driver_named_the_screen_is_used(card: Card) -> None:
    facts = told(run("--token", card.spec, "--json", "info"))
    assert facts["driver"] == "shield"
    assert run("--token", card.spec, "--driver", "nonsense", "info").exit_code == 50


def test_pin_and_puk_are_changed_and_the_pin_unblocked(card: Card) -> None:
    new, wrong = card.file("new", "640928"), card.file("wrong", "111112")
    card.done("pin", "change", "--pin-file", card.pin, "--new-pin-file", new)
    card.done("pin", "verify", "--pin-file", new)
    assert card.run("pin", "verify", "--pin-file", wrong).exit_code == 20
    other = card.file("new-puk", "75319024")
    card.done("pin", "change-puk", "--puk-file", card.puk, "--new-puk-file", other)
    assert card.run("pin", "unblock", "--puk-file", card.puk, "--new-pin-file", new).exit_code == 20
    card.done("pin", "unblock", "--puk-file", other, "--new-pin-file", card.pin)
    card.done("pin", "verify", "--pin-file", card.pin)


def test_keys_want_the_management_key_by_name_or_from_a_file(card: Card) -> None:
    generate = ("key", "generate", "--algorithm", "p256", "--slot", "9a")
    assert card.run(*generate, "--pin-file", card.pin).exit_code == 2
    wrong = card.file("wrong", "00" * 24)
    assert card.run(*generate, "--management-key-file", wrong).exit_code == 20
    assert card.run(*generate, "--management-key-file", card.pin).exit_code == 50
    right = card.file("right", DEFAULT_MANAGEMENT_KEY.hex())
    public = card.folder / "public.pem"
    made = told(card.done(*generate, "--management-key-file", right, "-o", str(public)))
    assert (made["label"], made["usage"], made["pin"]) == ("9a", "authentication", "once")
    assert load_pem_public_key(public.read_bytes())
    assert card.run(*generate, *DEFAULT).exit_code == 42
    again = told(card.done(*generate, *DEFAULT, "--replace"))
    assert again["id"] != made["id"]
    attestation = card.folder / "attestation.pem"
    card.done("key", "attest", "9a", "-o", str(attestation))
    key, device = x509.load_pem_x509_certificates(attestation.read_bytes())
    key.verify_directly_issued_by(device)
    card.done("key", "delete", "9a", "--yes", *DEFAULT)
    assert told(card.done("key", "list"))["keys"] == []


def test_the_pin_s_token_wants_no_management_key(enrolled: Enrolled) -> None:
    result = enrolled.run("key", "generate", "--management-key", "default")
    assert result.exit_code == 2
    assert "no management key" in result.stderr


def test_a_transaction_is_signed_blindly_only_if_that_is_said(card: Card) -> None:
    authority = card.enrol()
    refused = card.sign()
    assert refused.exit_code == 42
    assert told(refused)["error"]["code"] == "blind-signing-refused"
    assert not (card.folder / "out.p7s").exists()
    done = card.sign("--accept-blind")
    assert done.exit_code == 0, done.stderr
    assert "WARNING" in done.stderr
    facts = told(done)
    assert (facts["display"], "shown" in facts) == (False, False)
    ca = card.folder / "ca.pem"
    ca.write_bytes(authority.ca_pem)
    out = str(card.folder / "out.p7s")
    assert run("verify", out, "--ca", str(ca)).exit_code == 42
    refused = run("--json", "verify", out, "--accept-blind", str(ca))
    assert refused.exit_code == 42
    assert told(refused)["error"]["facts"]["reason"] == "virtual-token"
    accepted = run("--json", "verify", out, "--accept-blind", str(ca), "--accept-virtual")
    assert told(accepted)["virtual"] is True


def test_a_touch_is_asked_for_and_its_refusal_signs_nothing(card: Card) -> None:
    card.enrol("--touch", "always")
    assert "touch: always" in run("--token", card.spec, "--driver", "piv", "key", "list").stdout
    refused = card.sign("--accept-blind", "--virtual-press", "cancel")
    assert refused.exit_code == 30
    assert not (card.folder / "out.p7s").exists()
    assert card.sign("--accept-blind").exit_code == 2
    done = card.sign("--accept-blind", "--virtual-press", "ok")
    assert done.exit_code == 0, done.stderr
    assert "Touch the token now" in done.stderr


def test_a_token_with_a_screen_shows_it_whatever_is_accepted(enrolled: Enrolled) -> None:
    out = str(enrolled.folder / "shown.p7s")
    sign = ("sign", enrolled.payment(), "-o", out, "--pin-file", enrolled.secret(enrolled.pin))
    result = enrolled.run("--json", *sign, "--accept-blind", "--virtual-press", "ok")
    assert result.exit_code == 0, result.stderr
    assert told(result)["display"] is True
    verify = ("verify", out, "--ca", str(enrolled.ca), "--accept-virtual")
    assert run(*verify).exit_code == 0


def test_certificates_are_deleted_by_the_management_key(card: Card) -> None:
    card.enrol()
    assert card.run("cert", "delete", "--label", "9c", "--pin-file", card.pin).exit_code == 2
    card.done("cert", "delete", "--label", "9c", *DEFAULT)
    assert told(card.done("cert", "list"))["certificates"] == []


def test_a_virtual_token_s_piv_keys_are_shown(card: Card) -> None:
    card.done("key", "generate", "--algorithm", "p384", "--slot", "9d", *DEFAULT)
    path = card.spec.removeprefix("virtual:")
    (key,) = told(run("--json", "virtual", "show", path))["piv_keys"]
    assert key == {"slot": "9d", "algorithm": "p384", "touch": "never", "generated": True}
    assert "9d (p384)" in run("virtual", "show", path).stdout


def test_without_a_terminal_both_ways_to_a_management_key_are_named(card: Card) -> None:
    result = card.run("key", "generate", "--algorithm", "p256", "--slot", "9a")
    assert result.exit_code == 2
    assert "--management-key or --management-key-file" in told(result)["error"]["message"]
