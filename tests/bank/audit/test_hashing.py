"""Leaves and trees: by the recipe of RFC 9162, and different for different entries."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ushield.bank.audit.hashing import NO_HEAD, head_digest, leaf_hash, tree_hash

leaves = st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=40)


def by_the_rfc(entries: list[bytes]) -> bytes:
    """RFC 9162, section 2.1.1, of leaves that are hashed already."""
    if len(entries) == 1:
        return entries[0]
    split = 1 << ((len(entries) - 1).bit_length() - 1)
    return sha256(b"\1" + by_the_rfc(entries[:split]) + by_the_rfc(entries[split:])).digest()


@given(leaves)
def test_a_tree_is_that_of_the_rfc(entries: list[bytes]) -> None:
    assert tree_hash(entries) == by_the_rfc(entries)


@given(leaves, st.data())
def test_a_tree_tells_of_every_leaf(entries: list[bytes], data: st.DataObject) -> None:
    position = data.draw(st.integers(0, len(entries) - 1))
    changed = [*entries]
    changed[position] = sha256(entries[position]).digest()
    assert tree_hash(changed) != tree_hash(entries)
    assert tree_hash([*entries, entries[-1]]) != tree_hash(entries)


def test_a_tree_of_nothing_is_none() -> None:
    with pytest.raises(ValueError, match="no leaves"):
        tree_hash([])


texts = st.text(max_size=8)
entries = st.tuples(
    st.integers(1, 9),
    st.integers(0, 9),
    texts,
    st.none() | texts.filter(bool),
    st.none() | texts.filter(bool),
    st.binary(min_size=32, max_size=32),
)


def leaf(entry: tuple[int, int, str, str | None, str | None, bytes]) -> bytes:
    sequence, at, event, reason, challenge_id, digest = entry
    return leaf_hash(sequence, at, event, reason=reason, challenge_id=challenge_id, digest=digest)


@given(entries, entries)
@settings(max_examples=40)
def test_different_entries_have_different_leaves(
    one: tuple[int, int, str, str | None, str | None, bytes],
    other: tuple[int, int, str, str | None, str | None, bytes],
) -> None:
    assert (leaf(one) == leaf(other)) == (one == other)


def test_a_head_tells_of_all_its_parts() -> None:
    whole = {
        "instance": "i",
        "number": 1,
        "first": 1,
        "count": 1,
        "root": bytes(32),
        "previous": NO_HEAD,
        "at": 0,
    }
    changes = {
        "instance": "j",
        "number": 2,
        "first": 2,
        "count": 2,
        "root": bytes([1]) * 32,
        "previous": bytes([1]) * 32,
        "at": 1,
    }
    digests = {head_digest(**{**whole, name: value}) for name, value in changes.items()}  # type: ignore[arg-type]
    assert len(digests | {head_digest(**whole)}) == len(changes) + 1  # type: ignore[arg-type]
