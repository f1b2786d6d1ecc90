"""ykman, and its library yubikit, on the virtual token, through pcscd."""

from __future__ import annotations

import ssl
from collections.abc import Callable

import pytest

from tests.clients.conftest import MANAGEMENT_KEY, PIN, PUK, READER, Card, python_version
from ushield.shield.events import PanelKey

pytestmark = pytest.mark.clients
Tell = Callable[[str, str], None]
NEW_KEY = "a1b2c3d4e5f60718293a4b5c6d7e8f9001122334455667ab"


@pytest.fixture
def ykman(card: Card, version: Tell) -> Callable[..., str]:
    """Run ``ykman piv`` on the reader."""
    version("yubikey-manager", python_version("yubikey-manager"))
    version("pyscard", python_version("pyscard"))
    return lambda *arguments, **options: card.run(
        "ykman", "--reader", READER, "piv", *arguments, **options
    )


def test_info_tells_version_tries_and_the_first_management_key(ykman: Callable[..., str]) -> None:
    output = ykman("info")
    assert "PIV version:              5.7.0" in output
    assert "PIN tries remaining:      6/6" in output
    assert "PUK tries remaining:      10/10" in output
    assert "WARNING: Using default Management key" in output


@pytest.mark.parametrize("algorithm", ["RSA2048", "RSA3072", "RSA4096", "ECCP256", "ECCP384"])
def test_a_key_is_made_certified_requested_and_shown(
    card: Card, ykman: Callable[..., str], algorithm: str
) -> None:
    ykman("keys", "generate", "-m", MANAGEMENT_KEY, "-a", algorithm, "9c", "9c.pub")
    with_key = ("-m", MANAGEMENT_KEY, "-P", PIN)
    ykman("certificates", "generate", *with_key, "-s", "CN=made here", "9c", "9c.pub")
    ykman("certificates", "request", "-P", PIN, "-s", "CN=asked for", "9c", "9c.pub", "9c.csr")
    assert "verify OK" in card.run("openssl", "req", "-in", "9c.csr", "-verify", "-noout")
    ykman("certificates", "export", "9c", "9c.pem")
    assert "made here" in card.run("openssl", "x509", "-in", "9c.pem", "-noout", "-subject")
    assert algorithm in ykman("info")
    assert "GENERATED" in ykman("keys", "info", "9c")
    ykman("keys", "attest", "9c", "attestation.pem")


def test_a_key_and_a_certificate_are_imported_moved_and_deleted(
    card: Card, ykman: Callable[..., str]
) -> None:
    card.run(
        "openssl", "req", "-x509", "-nodes", "-newkey", "rsa:2048", "-subj", "/CN=imported",
        "-keyout", "key.pem", "-out", "certificate.pem",
    )  # fmt: skip
    key = ("-m", MANAGEMENT_KEY)
    ykman("keys", "import", *key, "--pin-policy", "always", "9d", "key.pem")
    ykman("certificates", "import", *key, "-P", PIN, "--verify", "9d", "certificate.pem")
    output = ykman("keys", "info", "9d")
    assert "IMPORTED" in output
    assert "ALWAYS" in output
    ykman("keys", "move", *key, "9d", "82")
    ykman("keys", "info", "9d", status=1)
    ykman("keys", "delete", *key, "82")
    ykman("certificates", "delete", *key, "9d")
    assert "imported" not in ykman("info")


def test_pin_puk_and_management_key_are_changed(ykman: Callable[..., str]) -> None:
    ykman("access", "change-pin", "-P", PIN, "-n", "24689753")
    ykman("access", "change-puk", "-p", PUK, "-n", "97531357")
    ykman("access", "unblock-pin", "-p", "97531357", "-n", PIN)
    for algorithm in ("AES192", "TDES"):
        old = MANAGEMENT_KEY if algorithm == "AES192" else NEW_KEY
        new = NEW_KEY if algorithm == "AES192" else MANAGEMENT_KEY
        ykman("access", "change-management-key", "-m", old, "-n", new, "-a", algorithm)
        assert algorithm in ykman("info")


def test_a_management_key_is_kept_on_the_card_behind_the_pin(ykman: Callable[..., str]) -> None:
    ykman("access", "change-management-key", "-m", MANAGEMENT_KEY, "-P", PIN, "-g", "--protect")
    ykman("keys", "generate", "-P", PIN, "-a", "ECCP256", "9a", "-")
    assert "protected by PIN" in ykman("info")


def test_retries_are_limited_and_the_application_is_reset(ykman: Callable[..., str]) -> None:
    ykman("access", "set-retries", "-m", MANAGEMENT_KEY, "-P", PIN, "-f", "4", "5")
    assert "PIN tries remaining:      4/4" in ykman("info")
    ykman("keys", "generate", "-m", MANAGEMENT_KEY, "-a", "ECCP256", "9a", "-")
    ykman("reset", "-f")
    output = ykman("info")
    assert "PIN tries remaining:      6/6" in output
    assert "WARNING: Using default PIN" in output
    assert "ECCP256" not in output
    ykman("access", "change-pin", "-P", "123456", "-n", PIN)


def test_a_touch_is_asked_for_on_the_panel(card: Card, ykman: Callable[..., str]) -> None:
    policy = ("--touch-policy", "always")
    ykman("keys", "generate", "-m", MANAGEMENT_KEY, "-a", "ECCP256", *policy, "9a", "9a.pub")
    request = ("certificates", "request", "-P", PIN, "-s", "CN=touched", "9a", "9a.pub", "9a.csr")
    finger = card.press([PanelKey.OK])
    ykman(*request)
    finger.join()
    assert "verify OK" in card.run("openssl", "req", "-in", "9a.csr", "-verify", "-noout")
    finger = card.press([PanelKey.CANCEL])
    ykman(*request, status=1)
    finger.join()


def test_it_proves_the_token_and_speaks_through_a_channel(card: Card, version: Tell) -> None:
    """SCP11b (``--scp-ca``): the PIN crosses pcscd encrypted, and the key is checked first."""
    version("yubikey-manager", python_version("yubikey-manager"))
    device = card.token._nvram.identity.device_certificate
    (card.folder / "device.pem").write_text(ssl.DER_cert_to_PEM_cert(device))
    secured = ("ykman", "--reader", READER, "--scp-ca", "device.pem", "piv")
    assert "PIN tries remaining:      6/6" in card.run(*secured, "info")
    card.run(*secured, "keys", "generate", "-m", MANAGEMENT_KEY, "-a", "ECCP256", "9c", "9c.pub")
    card.run(
        *secured, "certificates", "generate", "-m", MANAGEMENT_KEY, "-P", PIN,
        "-s", "CN=made here", "9c", "9c.pub",
    )  # fmt: skip
    assert "made here" in card.run(*secured, "info")
