"""What a search found."""

from __future__ import annotations

import pytest

from ushield.errors import ObjectNotFound, SeveralObjects
from ushield.keystore import Query


def test_a_query_is_a_sequence_of_what_was_found() -> None:
    query = Query(iter("abc"), "letter")
    assert list(query) == ["a", "b", "c"]
    assert len(query) == 3
    assert query[0] == "a"
    assert query[1:] == ("b", "c")
    assert "b" in query
    assert repr(query) == "Query(letter: ['a', 'b', 'c'])"


def test_one_gives_the_only_object() -> None:
    assert Query(["a"], "letter").one() == "a"


def test_one_tells_none_from_several() -> None:
    with pytest.raises(ObjectNotFound, match="no letter on the token"):
        Query([], "letter").one()
    with pytest.raises(SeveralObjects, match="letter: there are 2, not one"):
        Query(["a", "b"], "letter").one()


def test_some_gives_what_was_found_unless_that_is_nothing() -> None:
    query = Query(["a", "b"], "letter")
    assert query.some() is query
    with pytest.raises(ObjectNotFound, match="no letter on the token"):
        Query([], "letter").some()
