"""yubico-piv-tool on the virtual token, through pcscd.

Of its actions, ``selfsign-certificate`` and ``request-certificate`` are left out: where it was
built with OpenSSL 3, as Debian's 2.2.0 is, it gives them up before it sends anything to the card
(Yubico/yubico-piv-tool issue 388).
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.clients.conftest import PIN, PUK, READER, Card, debian_version
from ushield.shield.events import PanelKey

pytestmark = pytest.mark.clients
Tell = Callable[[str, str], None]


@pytest.fixture
def piv(card: Card, version: Tell) -> Callable[..., str]:
    """Run it on the reader."""
    version("yubico-piv-tool", debian_version("yubico-piv-tool"))
    return lambda *arguments, **options: card.run(
        "yubico-piv-tool", "--reader", READER, *arguments, **options
    )


def certified(card: Card, piv: Callable[..., str], algorithm: str) -> None:
    """A key that was made elsewhere, with its certificate, imported into 9A."""
    kind = ["rsa:2048"] if algorithm == "RSA2048" else ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    card.run(
        "openssl", "req", "-x509", "-nodes", "-newkey", *kind, "-subj", "/CN=imported",
        "-keyout", "key.pem", "-out", "certificate.pem",
    )  # fmt: skip
    piv("-a", "import-key", "-s", "9a", "-i", "key.pem")
    piv("-a", "import-certificate", "-s", "9a", "-i", "certificate.pem")


def test_status_names_the_card_and_its_tries(piv: Callable[..., str]) -> None:
    output = piv("-a", "status")
    assert "5.7.0" in output
    assert "PIN tries left:\t6" in output
    piv("-a", "verify-pin", "-P", "908172", status=1)
    assert "PIN tries left:\t5" in piv("-a", "status")


def test_pin_and_puk_are_changed(piv: Callable[..., str]) -> None:
    piv("-a", "change-pin", "-P", PIN, "-N", "24689753")
    piv("-a", "change-puk", "-P", PUK, "-N", "97531357")
    piv("-a", "unblock-pin", "-P", "97531357", "-N", PIN)
    assert "Successfully verified PIN" in piv("-a", "verify-pin", "-P", PIN)


@pytest.mark.parametrize("algorithm", ["ECCP256", "ECCP384", "RSA2048"])
def test_a_key_is_made_and_attested(card: Card, piv: Callable[..., str], algorithm: str) -> None:
    piv("-a", "generate", "-s", "9c", "-A", algorithm, "-o", "key.pub")
    piv("-a", "attest", "-s", "9c", "-o", "attestation.pem")
    public_key = card.run("openssl", "x509", "-in", "attestation.pem", "-noout", "-pubkey")
    assert public_key == (card.folder / "key.pub").read_text()


@pytest.mark.parametrize(
    ("algorithm", "said"),
    [("RSA2048", "Successful RSA verification"), ("ECCP256", "Successful ECDSA verification")],
)
def test_an_imported_key_signs_and_deciphers(
    card: Card, piv: Callable[..., str], algorithm: str, said: str
) -> None:
    certified(card, piv, algorithm)
    piv("-a", "read-certificate", "-s", "9a", "-o", "read.pem")
    assert (card.folder / "read.pem").read_text() == (card.folder / "certificate.pem").read_text()
    login = ("-a", "verify-pin", "-P", PIN)
    assert said in piv(*login, "-a", "test-signature", "-s", "9a", "-i", "read.pem")
    assert "Successful" in piv(*login, "-a", "test-decipher", "-s", "9a", "-i", "read.pem")


def test_a_key_with_a_touch_policy_waits_for_ok(card: Card, piv: Callable[..., str]) -> None:
    piv("-a", "generate", "-s", "9a", "-A", "ECCP256", "--touch-policy", "always", "-o", "9a.pub")
    (card.folder / "data").write_bytes(b"data")
    sign = ("-a", "verify-pin", "-P", PIN, "--sign", "-s", "9a", "-A", "ECCP256", "-H", "SHA256")
    finger = card.press([PanelKey.OK])
    piv(*sign, "-i", "data", "-o", "signature")
    finger.join()
    verify = ("-sha256", "-verify", "9a.pub", "-signature", "signature", "data")
    assert "Verified OK" in card.run("openssl", "dgst", *verify)
    finger = card.press([PanelKey.CANCEL])
    piv(*sign, "-i", "data", "-o", "refused", status=1)
    finger.join()


def test_objects_and_the_management_key_are_set(piv: Callable[..., str]) -> None:
    piv("-a", "set-chuid", "-a", "set-ccc")
    key = "a1b2c3d4e5f60718293a4b5c6d7e8f9001122334455667ab"
    piv("-a", "set-mgm-key", "-n", key)
    piv("-a", "set-chuid", status=1)
    piv(f"--key={key}", "-a", "set-chuid")


def test_retries_are_limited_and_the_card_is_reset(piv: Callable[..., str]) -> None:
    login = ("-a", "verify-pin", "-P", PIN)
    piv(*login, "-a", "pin-retries", "--pin-retries", "3", "--puk-retries", "3")
    assert "PIN tries left:\t3" in piv("-a", "status")
    piv("-a", "reset", status=1)
    for _ in range(3):
        piv("-a", "verify-pin", "-P", "908172", status=1)
        piv("-a", "change-puk", "-P", "90817263", "-N", "97531357", status=1)
    assert "Successfully reset" in piv("-a", "reset")
    piv("-a", "verify-pin", "-P", "123456")
