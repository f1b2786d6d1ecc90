"""Which texts a transaction may hold: what a person reads is what the bytes say."""

from __future__ import annotations

import re
import unicodedata

from ushield.errors import TransactionInvalid

__all__ = ["PLAIN_TEXT", "check_account", "check_challenge", "check_text"]

# General categories of the Unicode Character Database that draw nothing, or not what they say:
# controls, format characters (bidi, zero-width, soft hyphen), surrogates, private use,
# unassigned, and the separators of lines and paragraphs.
_INVISIBLE = {
    "Cc": "a control character",
    "Cf": "a bidirectional, zero-width or other format character",
    "Cs": "half of a surrogate pair",
    "Co": "a private-use character",
    "Cn": "an unassigned character",
    "Zl": "a line separator",
    "Zp": "a paragraph separator",
}
# Letters, marks and symbols that draw nothing either: those with the property
# Default_Ignorable_Code_Point (DerivedCoreProperties.txt) outside the categories above, and the
# blank Braille pattern.
_BLANK = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u2800\u3164\ufe00-\ufe0f\uffa0"
    "\U000e0100-\U000e01ef]"
)
_SPACES = " \u3000"
# Visible, normalised, and neither combining nor a space: almost all texts are made of these.
_PLAIN = re.compile("[!-~\u4e00-\u9fa5]++(?: [!-~\u4e00-\u9fa5]++)*+")
PLAIN_TEXT = "(?![^<]{61})[!-%'-;=?-~\u4e00-\u9fa5]++(?: [!-%'-;=?-~\u4e00-\u9fa5]++)*+"
"""A regular expression for texts within a message that keep every rule for texts, whatever their
field: none is longer than any field may be, none holds a character that XML writes otherwise."""
_ACCOUNT = re.compile(r"[0-9A-Za-z](?:[0-9A-Za-z-]{0,38}[0-9A-Za-z])?")
_CHALLENGE = re.compile(r"[0-9A-Za-z._-]{1,64}")


def check_text(value: str, field: str, max_length: int) -> None:
    """Raise `TransactionInvalid` unless ``value`` is 1 to ``max_length`` characters a person reads.

    Visible characters and single spaces between them, in Normalisation Form C (UAX #15), so that
    one look has one encoding. Runs of spaces are refused: they could push the rest of a text to
    where the screen shows something else.
    """
    _check_type(value, field)
    if not value:
        raise TransactionInvalid(f"{field}: empty", field=field)
    if len(value) > max_length:
        raise TransactionInvalid(
            f"{field}: {len(value)} characters, at most {max_length} are allowed", field=field
        )
    if _PLAIN.fullmatch(value) is not None:
        return
    space_run = _check_characters(value, field)
    if space_run or value[0] in _SPACES or value[-1] in _SPACES:
        raise TransactionInvalid(f"{field}: a space at either end, or two in a row", field=field)


def _check_characters(value: str, field: str) -> bool:
    space_run = False
    previous_is_space = False
    for character in value:
        category = unicodedata.category(character)
        problem = _INVISIBLE.get(category)
        if problem is None and category == "Zs" and character not in _SPACES:
            problem = "a space that is not an ordinary one"
        elif problem is None and _BLANK.match(character):
            problem = "a character that draws nothing"
        if problem is not None:
            raise TransactionInvalid(f"{field}: U+{ord(character):04X}, {problem}", field=field)
        is_space = category == "Zs"
        space_run = space_run or (is_space and previous_is_space)
        previous_is_space = is_space
    if not unicodedata.is_normalized("NFC", value):
        raise TransactionInvalid(f"{field}: not in Unicode Normalisation Form C", field=field)
    return space_run


def check_account(value: str, field: str) -> None:
    """Raise `TransactionInvalid` unless ``value`` is an account number.

    1 to 40 ASCII letters and digits, with hyphens inside; no spaces, no masking stars: it is
    signed in full.
    """
    _check_type(value, field)
    if _ACCOUNT.fullmatch(value) is None:
        raise TransactionInvalid(
            f"{field}: 1 to 40 letters and digits, hyphens only between them", field=field
        )


def check_challenge(value: str, field: str = "challenge") -> None:
    """Raise `TransactionInvalid` unless ``value`` is an id: 1 to 64 of A-Z a-z 0-9 . _ -"""
    _check_type(value, field)
    if _CHALLENGE.fullmatch(value) is None:
        raise TransactionInvalid(f"{field}: 1 to 64 of A-Z a-z 0-9 . _ -", field=field)


def _check_type(value: object, field: str) -> None:
    if not isinstance(value, str):
        raise TransactionInvalid(f"{field}: a text is due, not {type(value).__name__}", field=field)
