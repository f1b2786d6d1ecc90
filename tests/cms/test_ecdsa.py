"""Of the two forms of an ECDSA signature, one is ours."""

from __future__ import annotations

import hashlib

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import (
    Prehashed,
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.hashes import SHA256, SHA384
from hypothesis import given
from hypothesis import strategies as st

from ushield.algorithms import HashAlgorithm
from ushield.cms.ecdsa import lower_s

# Orders from SEC 2, version 2.0, sections 2.4.2 and 2.5.1.
P256_ORDER = int("FFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551", 16)
P384_ORDER = int(
    "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF"
    "C7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973",
    16,
)
CURVES = [
    (ec.SECP256R1(), SHA256(), HashAlgorithm.SHA256, P256_ORDER),
    (ec.SECP384R1(), SHA384(), HashAlgorithm.SHA384, P384_ORDER),
]


@pytest.mark.parametrize(("curve", "digest", "algorithm", "order"), CURVES)
def test_both_forms_become_the_same_one_and_it_verifies(
    curve: ec.EllipticCurve, digest: SHA256 | SHA384, algorithm: HashAlgorithm, order: int
) -> None:
    key = ec.generate_private_key(curve)
    hashed = hashlib.new(algorithm, b"message").digest()
    for _ in range(20):
        given_form = key.sign(hashed, ec.ECDSA(Prehashed(digest)))
        r, s = decode_dss_signature(given_form)
        other_form = encode_dss_signature(r, order - s)
        ours = lower_s(given_form, algorithm)
        assert ours == lower_s(other_form, algorithm) == lower_s(ours, algorithm)
        assert ours in (given_form, other_form)
        assert decode_dss_signature(ours)[1] <= order // 2
        key.public_key().verify(ours, hashed, ec.ECDSA(Prehashed(digest)))


@given(st.binary(max_size=80))
def test_what_is_no_signature_stays_what_it_is(junk: bytes) -> None:
    try:
        decode_dss_signature(junk)
    except ValueError:
        assert lower_s(junk, HashAlgorithm.SHA256) == junk


def test_an_s_out_of_range_is_not_made_good() -> None:
    beyond = encode_dss_signature(5, P256_ORDER + 7)
    assert lower_s(beyond, HashAlgorithm.SHA256) == beyond
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    with pytest.raises(InvalidSignature):
        key.verify(beyond, b"message", ec.ECDSA(SHA256()))
