"""The DER writer against asn1crypto, an independent one."""

from __future__ import annotations

import pytest
from asn1crypto import core
from hypothesis import given
from hypothesis import strategies as st

from ushield.cms import der


@given(st.integers(0, 1 << 70))
def test_integers(value: int) -> None:
    assert der.integer(value) == core.Integer(value).dump()


@given(st.binary(max_size=300) | st.sampled_from([bytes(size) for size in (127, 128, 65536)]))
def test_octet_strings_of_every_length_form(value: bytes) -> None:
    assert der.octet_string(value) == core.OctetString(value).dump()


@given(st.text(max_size=80))
def test_texts(value: str) -> None:
    assert der.utf8_string(value) == core.UTF8String(value).dump()


@given(
    st.tuples(st.integers(0, 2), st.integers(0, 39), st.lists(st.integers(0, 1 << 128), max_size=6))
)
def test_object_identifiers(arcs: tuple[int, int, list[int]]) -> None:
    dotted = ".".join(map(str, (arcs[0], arcs[1], *arcs[2])))
    assert der.object_identifier(dotted) == core.ObjectIdentifier(dotted).dump()


def test_an_object_identifier_of_x_690() -> None:
    # X.690, 8.19.5: {2 100 3}
    assert der.object_identifier("2.100.3") == bytes.fromhex("0603813403")


@pytest.mark.parametrize("value", [True, False])
def test_booleans(value: bool) -> None:
    assert der.boolean(value) == core.Boolean(value).dump()


@given(st.lists(st.integers(0, 1 << 40), max_size=6))
def test_sequences_keep_their_order_and_sets_are_sorted(values: list[int]) -> None:
    members = [der.integer(value) for value in values]
    assert der.sequence(*members) == core.SequenceOf(values, spec=core.Integer).dump()
    assert der.set_of(*members) == core.SetOf(values, spec=core.Integer).dump()


def test_a_null() -> None:
    assert der.null() == core.Null().dump()
