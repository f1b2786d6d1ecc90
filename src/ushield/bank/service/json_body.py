"""Reading a body as JSON (RFC 8259), strictly: one meaning for every reader.

No member twice, no number that is none, no half of a surrogate pair in a text, and no nesting that
a reader's stack could run out on.
"""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

from ushield.bank.service.errors import RequestInvalid

__all__ = ["DEEPEST", "load_body"]

DEEPEST = 16
"""How deep arrays and objects may be nested."""

# A text that does not end is passed over to its end, or it would be looked through again and again.
_STRUCTURE = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?|([\[{])|([\]}])', re.DOTALL)
_EXACT = 1 << 53
_REFUSED = re.compile("[\ud800-\udfff]")


def load_body(data: bytes) -> Any:
    """The value of ``data`` (JSON in UTF-8); `RequestInvalid`, which repeats nothing of it."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise RequestInvalid("the body is not UTF-8") from None
    _check_depth(text)
    try:
        found = json.loads(
            text,
            object_pairs_hook=_unique,
            parse_constant=_refuse_number,
            parse_float=_number,
        )
    except ValueError:
        raise RequestInvalid("the body is not JSON") from None
    _check_texts(found)
    return found


def _check_depth(text: str) -> None:
    depth = 0
    for match in _STRUCTURE.finditer(text):
        if match[1]:
            depth += 1
            if depth > DEEPEST:
                raise RequestInvalid(f"the body is nested more than {DEEPEST} deep")
        elif match[2]:
            depth -= 1


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise RequestInvalid("a member of an object stands there twice")
    return members


def _refuse_number(text: str) -> NoReturn:
    raise RequestInvalid("NaN and infinities are no numbers in JSON")


def _number(text: str) -> int | float:
    # To JSON Schema 1.0 is whole. What is not is wanted nowhere: amounts are texts.
    value = float(text)
    return int(value) if abs(value) <= _EXACT and value.is_integer() else value


def _check_texts(value: Any) -> None:
    # Not recursive for the stack's sake: the depth was looked at. A text alone is no body of ours.
    if isinstance(value, str):
        if _REFUSED.search(value):
            raise RequestInvalid("a text in the body has half a character")
    elif isinstance(value, dict):
        for name, member in value.items():
            _check_texts(name)
            _check_texts(member)
    elif isinstance(value, list):
        for member in value:
            _check_texts(member)
