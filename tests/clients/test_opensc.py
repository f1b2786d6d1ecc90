"""OpenSC and GnuTLS on the virtual token, through pcscd."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.clients.conftest import OPENSC, PIN, READER, Card, debian_version

pytestmark = pytest.mark.clients
Tell = Callable[[str, str], None]


def test_opensc_knows_the_card(card: Card, version: Tell) -> None:
    version("opensc", debian_version("opensc"))
    assert READER in card.run("opensc-tool", "--list-readers")
    assert "Personal Identity Verification Card" in card.run("opensc-tool", "--name")


def test_pkcs11_tool_lists_keys_and_certificates(enrolled: Card, version: Tell) -> None:
    version("opensc", debian_version("opensc"))
    objects = enrolled.run("pkcs11-tool", "-O", "--login", "--pin", PIN)
    assert objects.count("Private Key Object") == 2
    assert objects.count("Certificate Object") == 2
    assert "CN=9a" in objects
    assert "always authenticate" in objects


def test_pkcs11_tool_tells_of_a_wrong_pin_and_of_the_last_try(
    enrolled: Card, version: Tell
) -> None:
    version("opensc", debian_version("opensc"))
    for _ in range(5):
        output = enrolled.run("pkcs11-tool", "-O", "--login", "--pin", "908172", status=1)
        assert "CKR_PIN_INCORRECT" in output
    assert "final user PIN try" in enrolled.run("pkcs11-tool", "-L")
    enrolled.run("pkcs11-tool", "-O", "--login", "--pin", PIN)
    assert "final user PIN try" not in enrolled.run("pkcs11-tool", "-L")


def test_the_self_test_of_pkcs11_tool_finds_no_errors(enrolled: Card, version: Tell) -> None:
    version("opensc", debian_version("opensc"))
    output = enrolled.run("pkcs11-tool", "--login", "--pin", PIN, "--test")
    assert "No errors" in output
    assert "SHA256-RSA-PKCS: OK" in output


@pytest.mark.parametrize(
    ("slot", "how"),
    [
        ("9c", ["--id", "02", "--mechanism", "SHA256-RSA-PKCS"]),
        ("9a", ["--id", "01", "--mechanism", "ECDSA-SHA256", "--signature-format", "openssl"]),
    ],
)
def test_openssl_verifies_what_pkcs11_tool_signs(
    enrolled: Card, version: Tell, slot: str, how: list[str]
) -> None:
    version("opensc", debian_version("opensc"))
    version("openssl", debian_version("openssl"))
    (enrolled.folder / "data").write_bytes(b"what is signed" * 100)
    login = ("--login", "--pin", PIN)
    enrolled.run(
        "pkcs11-tool", *login, "--sign", *how, "-i", "data", "-o", "signature",
    )  # fmt: skip
    verify = ("-sha256", "-verify", f"{slot}.pub", "-signature", "signature", "data")
    assert "Verified OK" in enrolled.run("openssl", "dgst", *verify)


def test_p11tool_lists_the_certificates(enrolled: Card, version: Tell) -> None:
    version("gnutls-bin", debian_version("gnutls-bin"))
    output = enrolled.run("p11tool", "--provider", OPENSC, "--list-all-certs", "pkcs11:")
    assert output.count("X.509 Certificate") >= 2


@pytest.mark.parametrize("slot", ["9a", "9c"])
def test_p11tool_logs_in_and_signs(enrolled: Card, version: Tell, slot: str) -> None:
    version("gnutls-bin", debian_version("gnutls-bin"))
    number = {"9a": "01", "9c": "02"}[slot]
    key = f"pkcs11:id=%{number};type=private?pin-value={PIN}"
    output = enrolled.run("p11tool", "--provider", OPENSC, "--login", "--test-sign", key)
    assert "Signing using" in output
    assert "Verifying against public key in the token... ok" in output


def test_a_locked_pin_is_told_and_the_right_one_does_not_help(
    enrolled: Card, version: Tell
) -> None:
    version("opensc", debian_version("opensc"))
    for _ in range(6):
        enrolled.run("pkcs11-tool", "-O", "--login", "--pin", "908172", status=1)
    assert "user PIN locked" in enrolled.run("pkcs11-tool", "-L")
    refused = enrolled.run("pkcs11-tool", "-O", "--login", "--pin", PIN, status=1)
    assert "CKR_PIN_LOCKED" in refused
