"""Full verification at the bank, caches warm and cold, beside raw verification and other software.

Full is all of it: the encoding, the certificate, its revocation, the signature, the receipt, the
message, and its pages drawn again. Every signature is by another press over another message.
"""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from itertools import cycle
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

from tests.bank.revocations import crl, many
from tests.bench.measure import in_turn, line
from tests.pki import (
    CA,
    CERTIFYING,
    NOW,
    Signer,
    authority,
    certificate,
    der,
    pem,
    private_key,
    receipt_for,
)
from tests.transaction.strategies import TRANSFER
from ushield.algorithms import KeyAlgorithm
from ushield.bank import TrustStore, Verifier
from ushield.bank.pages_check import check_pages
from ushield.bank.revocation import RevocationIndex
from ushield.cms import Receipt, parse_signed_data
from ushield.transaction import parse_message, write_message

SIGNATURES = 64
WANTED = {KeyAlgorithm.RSA_2048: 0.5, KeyAlgorithm.P256: 0.7}
ENTRIES = 100_000
ROOT = "Bench CA"


def chain(algorithm: KeyAlgorithm) -> tuple[x509.Certificate, RevocationIndex, Signer]:
    """A CA with its CRL, and a signer with its certificate; both have keys of this kind."""
    issuer, key = private_key(algorithm, ROOT), private_key(algorithm)
    root = certificate(ROOT, ROOT, issuer.public_key(), issuer, usage=CERTIFYING, constraints=CA)
    index = RevocationIndex((root,))
    index.add_crl(crl(issuer=ROOT, key=issuer), NOW)
    return root, index, Signer(algorithm, key, certificate("李四", ROOT, key.public_key(), issuer))


def signatures(signer: Signer) -> list[bytes]:
    """Signatures by one token, each over another message."""
    found = []
    for number in range(SIGNATURES):
        payment = dataclasses.replace(TRANSFER, challenge=f"c{number:015}", order=f"A{number:09}")
        message = write_message(payment)
        receipt = dataclasses.replace(
            receipt_for(message), counter=number + 1, request_id=number.to_bytes(8, "big")
        )
        found.append(signer.sign(message, receipt))
    return found


def raw(signer: Signer, data: bytes) -> Callable[[], None]:
    """The signature alone, by cryptography."""
    parsed = parse_signed_data(data)
    key, signature, attributes = signer.key.public_key(), parsed.signature, parsed.signed_attributes
    if isinstance(key, rsa.RSAPublicKey):
        scheme, algorithm = padding.PKCS1v15(), SHA256()
        return lambda: key.verify(signature, attributes, scheme, algorithm)
    assert isinstance(key, ec.EllipticCurvePublicKey)
    curve = ec.ECDSA(SHA256())
    return lambda: key.verify(signature, attributes, curve)


def each_of(found: list[bytes], verify: Callable[[bytes], object]) -> Callable[[], object]:
    """The next one at each call."""
    turn: Iterator[bytes] = cycle(found)
    return lambda: verify(next(turn))


def run() -> None:
    """Measure and print."""
    trust = TrustStore.load(pem(authority()))
    short, long = (RevocationIndex((authority(),)) for _ in range(2))
    short.add_crl(crl(), NOW)
    loaded = partial(RevocationIndex((authority(),)).add_crl, many(range(1, ENTRIES + 1)), NOW)
    long.add_crl(many(range(1, ENTRIES + 1)), NOW)
    for algorithm, share in WANTED.items():
        signer = Signer.issued(algorithm)
        found = signatures(signer)
        warm, indexed = (Verifier(trust, revocation=index) for index in (short, long))

        parsed = {data: parse_signed_data(data) for data in found}

        def message_and_pages(data: bytes) -> None:
            each = parsed[data]  # noqa: B023
            assert isinstance(each.display, Receipt)
            check_pages(parse_message(each.message), each.display)

        root, own_index, own_signer = chain(algorithm)
        own_trust = TrustStore.load(pem(root))

        def cold(data: bytes) -> object:
            verifier = Verifier(own_trust, revocation=own_index)  # noqa: B023
            return verifier.verify(data, NOW)

        seconds = in_turn(
            {
                "raw": raw(signer, found[0]),
                "warm": each_of(found, lambda data: warm.verify(data, NOW)),  # noqa: B023
                "indexed": each_of(found, lambda data: indexed.verify(data, NOW)),  # noqa: B023
                "cold": each_of(signatures(own_signer), cold),
                "pages": each_of(found, message_and_pages),
                "read": each_of(found, lambda data: warm.verify(data, NOW).transaction),  # noqa: B023
                **others(signer, found),
            },
            rounds=9,
            runs=30,
        )
        base, full = seconds["raw"], seconds["warm"]
        line(f"{algorithm}: raw verification (reference)", base, f"{1 / base:,.0f} a second")
        note = f"{base / full:.2f} of the reference (at least {share})"
        line(f"{algorithm}: full, caches warm", full, f"{1 / full:,.0f} a second, {note}")
        rest = full - seconds["pages"]
        line(
            f"{algorithm}: of it, reading the message and drawing its pages",
            seconds["pages"],
            f"all the rest is {base / rest:.2f} of the reference",
        )
        line(f"{algorithm}: full, and the transaction made", seconds["read"])
        line(f"{algorithm}: the same with {ENTRIES:,} revoked", seconds["indexed"])
        ratio = seconds["cold"] / full
        line(f"{algorithm}: full, cold", seconds["cold"], f"{ratio:.1f} times warm (at most 5)")
        for name in seconds.keys() - {"raw", "warm", "indexed", "cold", "pages", "read"}:
            line(f"{algorithm}: {name}", seconds[name])
        openssl(signer, found[0], algorithm)
    once = in_turn({"load": loaded}, rounds=3, runs=1)
    line(f"a CRL of {ENTRIES:,} entries, loaded", once["load"])


def others(signer: Signer, found: list[bytes]) -> dict[str, Callable[[], object]]:
    """Another Python library on the same signatures, where it is installed."""
    if find_spec("pyhanko") is None or find_spec("pyhanko_certvalidator") is None:
        print("no pyHanko here: pip install 'ushield[bench]'")
        return {}
    loop = asyncio.new_event_loop()
    return {
        "pyhanko-certvalidator, the path alone": partial(_path_alone, loop, signer.der),
        "pyHanko, CMS alone": each_of(found, _cms_alone),
    }


def _path_alone(loop: asyncio.AbstractEventLoop, certificate: bytes) -> None:
    from asn1crypto import x509
    from pyhanko_certvalidator import CertificateValidator, ValidationContext

    context = ValidationContext([x509.Certificate.load(der(authority()))], moment=NOW)
    validator: Any = CertificateValidator(
        x509.Certificate.load(certificate), validation_context=context
    )
    loop.run_until_complete(validator.async_validate_usage({"digital_signature"}))


def _cms_alone(data: bytes) -> None:
    from asn1crypto import cms
    from pyhanko.sign.validation.generic_cms import validate_sig_integrity

    signed_data = cms.ContentInfo.load(data)["content"]
    content = signed_data["encap_content_info"]["content"].native
    intact, valid = validate_sig_integrity(
        signed_data["signer_infos"][0],
        signed_data["certificates"][0].chosen,
        expected_content_type="data",
        actual_digest=hashlib.sha256(content).digest(),
    )
    assert intact
    assert valid


def openssl(signer: Signer, data: bytes, algorithm: KeyAlgorithm) -> None:
    """The process `openssl cms -verify`, which starts, reads and verifies once."""
    if shutil.which("openssl") is None:
        print("no openssl here")
        return
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "payment.p7s").write_bytes(data)
        (Path(folder) / "ca.pem").write_bytes(pem(authority()))
        command = (
            "openssl cms -verify -inform DER -binary -in payment.p7s -CAfile ca.pem -purpose any"
            f" -attime {NOW.timestamp():.0f} -out message.xml"
        ).split()
        seconds = in_turn(
            {
                "openssl": partial(
                    subprocess.run, command, cwd=folder, capture_output=True, check=True
                )
            },
            rounds=5,
            runs=10,
        )
    line(f"{algorithm}: openssl cms -verify, a process", seconds["openssl"])
