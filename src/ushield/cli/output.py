"""What a command prints: text for people, or one JSON object for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import click

from ushield.cli.exit_codes import exit_code
from ushield.errors import UShieldError

__all__ = ["Output", "OutputFailed", "reason_of", "survive_any_terminal"]


class OutputFailed(UShieldError):
    """What a command has to say could not be written; it was done all the same."""

    code = "output-failed"
    default_remedy = "Make room where the output goes, or send it elsewhere."


_SPACING = "\n\u3000"


@dataclass(slots=True)
class Output:
    """Where a command's words go.

    People's text goes to stdout. With ``json``, stdout gets exactly one JSON object, the result or
    the error, and people's text goes to stderr.
    """

    json: bool = False

    def say(self, text: str) -> None:
        """Progress, or a hint, for people."""
        _print(text, err=self.json)

    def result(self, facts: Mapping[str, Any], text: str) -> None:
        """What came out, in both forms; once in a command's life."""
        if self.json:
            _print(_json(facts))
        elif text:
            _print(text)

    def error(self, error: UShieldError) -> None:
        """An error with its remedy: on stderr for people, and as the JSON object if asked for."""
        self.failure(
            error.code, str(error), error.remedy, exit_code=exit_code(error), facts=error.facts
        )

    def failure(
        self,
        code: str,
        message: str,
        remedy: str,
        *,
        exit_code: int,
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        """What `error` prints, for a failure that is no `UShieldError`; as far as it can be."""
        if self.json:
            body = {
                "code": code,
                "message": message,
                "remedy": remedy,
                "exit": int(exit_code),
                "facts": dict(facts or {}),
            }
            with suppress(OutputFailed, BrokenPipeError):
                _print(_json({"error": body}))
        with suppress(OutputFailed, BrokenPipeError):
            line = message.replace("\n", "\\n")
            _print(f"ushield: {line}" + (f"\n  {remedy}" if remedy else ""), err=True)


def _json(facts: Mapping[str, Any]) -> str:
    return json.dumps(facts, ensure_ascii=False, default=str)


def _print(text: str, *, err: bool = False) -> None:
    try:
        click.echo(_visible(text), err=err)
    except BrokenPipeError:
        # Whoever read this has seen enough; `click` ends the command without a word.
        raise
    except OSError as error:
        raise OutputFailed(f"the output cannot be written: {reason_of(error)}") from error


def _visible(text: str) -> str:
    """Names and labels come from strangers: none of them moves the cursor, or turns text around.

    The escapes are those of JSON, so that JSON stays what it was.
    """
    if text.isascii() and text.replace("\n", "").isprintable():
        return text
    return "".join(
        character if character.isprintable() or character in _SPACING else _escape(character)
        for character in text
    )


def _escape(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


def reason_of(error: OSError) -> str:
    """The system's words for why a call failed, without number and quotes."""
    return error.strerror or type(error).__name__


def survive_any_terminal() -> None:
    """Write what a terminal's encoding cannot show as escapes, instead of failing on it."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
