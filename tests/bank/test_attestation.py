"""A bank may require that a token it knows made the key and guards it."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from tests.pki import (
    NOW,
    Signer,
    authority,
    authority_key,
    certificate,
    der,
    pem,
    receipt_for,
)
from tests.transaction.strategies import TRANSFER
from ushield.algorithms import KeyAlgorithm
from ushield.bank import (
    AttestationPolicy,
    EnrolledAttestation,
    RejectionReason,
    TransactionRejected,
    TrustStore,
    Verifier,
)
from ushield.cms import oids, parse_signed_data
from ushield.cms.attestation import Attestation
from ushield.errors import CertificateInvalid
from ushield.testing.token import VirtualTokenUnderTest
from ushield.transaction import write_message

MESSAGE = write_message(TRANSFER)
TRUST = TrustStore.load(pem(authority()))
SIGNER = Signer.issued()
MAKER = authority("Token Maker")
DEVICE = authority("Device US00000001", "Token Maker")
TRUE = Attestation(
    serial=receipt_for(MESSAGE).serial,
    model="S2",
    firmware="1.0.0",
    usage=1,
    generated=True,
    virtual=False,
)
EXTENSION = x509.ObjectIdentifier(oids.ATTESTATION)


class Register(dict[bytes, EnrolledAttestation]):
    def attestation_of(self, certificate_sha256: bytes) -> EnrolledAttestation | None:
        return self.get(certificate_sha256)


def _attested(
    value: bytes,
    *,
    issuer: str = "Device US00000001",
    signer: Signer = SIGNER,
    constraints: x509.BasicConstraints | None = None,
) -> bytes:
    return der(
        certificate(
            "Key 1",
            issuer,
            signer.key.public_key(),
            authority_key(issuer),
            constraints=constraints or x509.BasicConstraints(ca=False, path_length=None),
            extensions=[(x509.UnrecognizedExtension(EXTENSION, value), False)],
        )
    )


def _verifier(
    enrolled: EnrolledAttestation | None,
    *,
    models: tuple[str, ...] = ("S2",),
    virtual: bool = False,
) -> Verifier:
    register = Register()
    if enrolled is not None:
        register[SIGNER.certificate.fingerprint(hashes.SHA256())] = enrolled
    policy = AttestationPolicy.load(register, pem(MAKER), models)
    return Verifier(TRUST, attestations=policy, accept_virtual=virtual)


def _reason(verifier: Verifier, signature: bytes) -> RejectionReason:
    with pytest.raises(TransactionRejected) as caught:
        verifier.verify(signature, NOW)
    return caught.value.reason


def test_a_key_that_a_token_of_a_known_maker_attests_is_accepted() -> None:
    enrolled = EnrolledAttestation(_attested(TRUE.encode()), der(DEVICE))
    verified = _verifier(enrolled).verify(SIGNER.sign(MESSAGE), NOW)
    assert verified.attestation == TRUE


def test_a_key_without_attestation_is_refused() -> None:
    signature = SIGNER.sign(MESSAGE)
    assert _reason(_verifier(None), signature) is RejectionReason.ATTESTATION_MISSING


OTHER_KEY = Signer.issued(KeyAlgorithm.RSA_2048)
INVALID: dict[str, Callable[[], tuple[bytes, bytes]]] = {
    "garbage": lambda: (b"garbage", der(DEVICE)),
    "garbage device": lambda: (_attested(TRUE.encode()), b"garbage"),
    "another key": lambda: (_attested(TRUE.encode(), signer=OTHER_KEY), der(DEVICE)),
    "a CA": lambda: (
        _attested(TRUE.encode(), constraints=x509.BasicConstraints(ca=True, path_length=None)),
        der(DEVICE),
    ),
    "no attestation in it": lambda: (SIGNER.der, der(authority())),
    "another device": lambda: (_attested(TRUE.encode(), issuer="Other Device"), der(DEVICE)),
    "an unknown maker": lambda: (
        _attested(TRUE.encode(), issuer="Other Device"),
        der(authority("Other Device")),
    ),
    "a device that may not attest": lambda: (
        _attested(TRUE.encode()),
        der(authority("Device US00000001", "Token Maker", constraints=None)),
    ),
    "not DER": lambda: (_attested(TRUE.encode() + b"\0"), der(DEVICE)),
    "an imported key": lambda: (
        _attested(dataclasses.replace(TRUE, generated=False).encode()),
        der(DEVICE),
    ),
    "a key that signs unseen": lambda: (
        _attested(dataclasses.replace(TRUE, usage=2).encode()),
        der(DEVICE),
    ),
    "another model": lambda: (
        _attested(dataclasses.replace(TRUE, model="S1").encode()),
        der(DEVICE),
    ),
}


@pytest.mark.parametrize("made", INVALID.values(), ids=INVALID.keys())
def test_an_attestation_of_something_else_is_refused(
    made: Callable[[], tuple[bytes, bytes]],
) -> None:
    verifier = _verifier(EnrolledAttestation(*made()))
    assert _reason(verifier, SIGNER.sign(MESSAGE)) is RejectionReason.ATTESTATION_INVALID


def test_a_receipt_of_another_token_than_the_attested_one_is_refused() -> None:
    verifier = _verifier(EnrolledAttestation(_attested(TRUE.encode()), der(DEVICE)))
    other = dataclasses.replace(receipt_for(MESSAGE), serial="US00000002")
    assert _reason(verifier, SIGNER.sign(MESSAGE, other)) is RejectionReason.TOKEN_MISMATCH


def test_a_virtual_token_that_denies_it_in_its_receipt_is_refused() -> None:
    virtual = dataclasses.replace(TRUE, virtual=True)
    enrolled = EnrolledAttestation(_attested(virtual.encode()), der(DEVICE))
    verifier = _verifier(enrolled, virtual=True)
    assert _reason(verifier, SIGNER.sign(MESSAGE)) is RejectionReason.TOKEN_MISMATCH


def test_a_device_that_the_bank_knows_itself_needs_no_maker() -> None:
    enrolled = EnrolledAttestation(_attested(TRUE.encode()), der(DEVICE))
    register = Register({SIGNER.certificate.fingerprint(hashes.SHA256()): enrolled})
    policy = AttestationPolicy.load(register, pem(DEVICE), ["S2"])
    Verifier(TRUST, attestations=policy).verify(SIGNER.sign(MESSAGE), NOW)


def test_a_file_without_a_maker_is_invalid() -> None:
    with pytest.raises(CertificateInvalid):
        AttestationPolicy.load(Register(), b"", ["S2"])


def test_withdrawing_an_attestation_counts_once_the_verifier_is_told() -> None:
    enrolled = EnrolledAttestation(_attested(TRUE.encode()), der(DEVICE))
    register = Register({SIGNER.certificate.fingerprint(hashes.SHA256()): enrolled})
    verifier = Verifier(TRUST, attestations=AttestationPolicy.load(register, pem(MAKER), ["S2"]))
    verifier.verify(SIGNER.sign(MESSAGE), NOW)
    register.clear()
    verifier.forget()
    assert _reason(verifier, SIGNER.sign(MESSAGE)) is RejectionReason.ATTESTATION_MISSING


def test_what_a_virtual_token_attests_counts_where_its_model_is_named(
    virtual_token: VirtualTokenUnderTest,
) -> None:
    with virtual_token.open() as token, token.session(virtual_token.pin) as session:
        pending = session.sign(TRANSFER)
        virtual_token.panel.expect(payee="张三").press_ok()
        signature = pending.result(timeout=10)
        key = session.private_keys(label="signing").one()
        enrolled = EnrolledAttestation(token.attest(key), token.device_certificate())
        model = token.info.model
    trust = TrustStore.load(virtual_token.authority.ca_pem)
    signer = parse_signed_data(signature.der).certificate
    register = Register({hashlib.sha256(signer).digest(): enrolled})
    maker = pem(x509.load_der_x509_certificate(enrolled.device))
    for models, virtual, reason in (
        (["S2"], True, RejectionReason.ATTESTATION_INVALID),
        ([model], False, RejectionReason.VIRTUAL_TOKEN),
        ([model], True, None),
    ):
        policy = AttestationPolicy.load(register, maker, models)
        verifier = Verifier(trust, attestations=policy, accept_virtual=virtual)
        if reason is None:
            verified = verifier.verify(signature.der)
            assert verified.certificate == signer
            assert verified.attestation is not None
            assert verified.attestation.virtual
        else:
            with pytest.raises(TransactionRejected) as caught:
                verifier.verify(signature.der)
            assert caught.value.reason is reason
