"""Which devices a program trusts, and that others get no PIN."""

from __future__ import annotations

import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from tests.bank.odd import ODD_CERTIFICATES
from tests.iso7816.connections import AlteringConnection, to_card
from tests.pki import authority, der
from ushield.drivers.base import TokenDriver
from ushield.drivers.trust import DeviceTrust
from ushield.errors import CertificateInvalid, TokenUntrusted
from ushield.signing import open_token
from ushield.signing.opening import token_behind
from ushield.testing.token import VirtualTokenUnderTest

NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)


def device_of(token: VirtualTokenUnderTest) -> x509.Certificate:
    return x509.load_der_x509_certificate(token.virtual._nvram.identity.device_certificate)


def trust(*anchors: x509.Certificate) -> DeviceTrust:
    return DeviceTrust.from_pem(b"".join(one.public_bytes(Encoding.PEM) for one in anchors))


def issued(
    token: VirtualTokenUnderTest,
    *,
    ca: bool = True,
    path_length: int | None = None,
    signs: bool = True,
    until: datetime.datetime = NOW + DAY,
) -> x509.Certificate:
    """Put a device certificate of a maker's into the token; the maker's own."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Maker")])
    builder = x509.CertificateBuilder().serial_number(1).issuer_name(name)
    usage = dict.fromkeys(
        ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment",
         "key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
        False,
    )  # fmt: skip
    maker = (
        builder.subject_name(name)
        .public_key(key.public_key())
        .not_valid_before(NOW - 2 * DAY)
        .not_valid_after(until)
        .add_extension(x509.BasicConstraints(ca, path_length if ca else None), critical=True)
        .add_extension(x509.KeyUsage(**usage | {"key_cert_sign": signs}), critical=True)
        .sign(key, hashes.SHA256())
    )
    own = device_of(token)
    device = (
        builder.subject_name(own.subject)
        .public_key(own.public_key())
        .not_valid_before(NOW - 2 * DAY)
        .not_valid_after(NOW + DAY)
    )
    for extension in own.extensions:
        device = device.add_extension(extension.value, extension.critical)
    identity = token.virtual._nvram.identity
    certificate = device.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)
    object.__setattr__(identity, "device_certificate", certificate)
    return maker


def test_a_token_whose_device_certificate_is_known_is_opened(
    virtual_token: VirtualTokenUnderTest,
) -> None:
    device = trust(device_of(virtual_token))
    with open_token(virtual_token.spec, device_trust=device) as opened:
        opened.session(virtual_token.pin)
        opened.reset()
        opened.session(virtual_token.pin)


def test_another_token_is_not_even_with_this_one_s_serial(
    virtual_token: VirtualTokenUnderTest, tmp_path: Path
) -> None:
    from ushield.virtual.create import create_token
    from ushield.virtual.token import VirtualToken

    create_token(tmp_path / "other", serial=virtual_token.virtual.serial, pin="908172")
    with (
        VirtualToken.open(tmp_path / "other"),
        pytest.raises(TokenUntrusted, match="none of those"),
    ):
        open_token(f"virtual:{tmp_path / 'other'}", device_trust=trust(device_of(virtual_token)))


def test_a_maker_s_devices_are_trusted_by_the_maker(virtual_token: VirtualTokenUnderTest) -> None:
    maker = issued(virtual_token)
    with open_token(virtual_token.spec, device_trust=trust(maker)) as opened:
        assert opened.info.serial == virtual_token.virtual.serial


@pytest.mark.parametrize(
    "flaw",
    [{"ca": False}, {"path_length": 0}, {"signs": False}, {"until": NOW - DAY}],
    ids=["no authority", "no room for a device", "other use", "expired"],
)
def test_a_maker_s_certificate_must_be_one(
    virtual_token: VirtualTokenUnderTest, flaw: dict[str, Any]
) -> None:
    maker = issued(virtual_token, **flaw)
    with pytest.raises(TokenUntrusted):
        open_token(virtual_token.spec, device_trust=trust(maker))


@pytest.mark.parametrize("feature", [b"\x83\x02\x80\x2f", b"\x83\x02\x00\x00"])
def test_who_hides_that_there_are_channels_gets_no_pin(
    virtual_token: VirtualTokenUnderTest, feature: bytes
) -> None:
    def hide(command: bytes, response: bytes) -> bytes:
        return response.replace(b"\x83\x02\x80\x6f", feature)

    wire = AlteringConnection(to_card(virtual_token.virtual.card), hide)
    with pytest.raises(TokenUntrusted, match="no secure channel"):
        token_behind(wire, device_trust=trust(device_of(virtual_token)))


@pytest.mark.parametrize("data", [b"", b"nothing", b"-----BEGIN CERTIFICATE-----\nAAAA\n"])
def test_what_holds_no_certificate_is_refused(data: bytes) -> None:
    with pytest.raises(CertificateInvalid):
        DeviceTrust.from_pem(data)


@pytest.mark.parametrize("odd", ODD_CERTIFICATES)
def test_an_anchor_that_nobody_can_read_issues_nothing(odd: str) -> None:
    opened = cast("TokenDriver", SimpleNamespace(proven_by=der(authority("Test Bank CA"))))
    with pytest.raises((TokenUntrusted, CertificateInvalid)):
        DeviceTrust((ODD_CERTIFICATES[odd],)).check(opened)
