"""OpenSC and GnuTLS on the virtual token, through pcscd."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.clients.conftest import MANAGEMENT_KEY, PIN, READER, Card, debian_version

pytestmark = pytest.mark.clients
Tell = Callable[[str, str], None]


@pytest.fixture
def enrolled(card: Card) -> Card:
    """An RSA key in 9C and a P-256 key in 9A, each with its certificate."""
    for slot, algorithm in (("9a", "ECCP256"), ("9c", "RSA2048")):
        common = ("--reader", READER, "piv")
        card.run(
            "ykman", *common, "keys", "generate", "-m", MANAGEMENT_KEY, "-a", algorithm, slot,
            f"{slot}.pub",
        )  # fmt: skip
        card.run(
            "ykman", *common, "certificates", "generate", "-m", MANAGEMENT_KEY, "-P", PIN,
            "-s", f"CN={slot}", slot, f"{slot}.pub",
        )  # fmt: skip
    return card


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
    output = enrolled.run(
        "p11tool", "--provider", "/usr/lib/x86_64-linux-gnu/opensc-pkcs11.so",
        "--list-all-certs", "pkcs11:",
    )  # fmt: skip
    assert output.count("X.509 Certificate") >= 2
