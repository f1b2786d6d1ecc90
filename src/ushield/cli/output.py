"""What a command prints: text for people, or one JSON object for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import click

from ushield.cli.exit_codes import exit_code
from ushield.errors import UShieldError

__all__ = ["Output", "reason_of", "survive_any_terminal"]


@dataclass(slots=True)
class Output:
    """Where a command's words go.

    People's text goes to stdout. With ``json``, stdout gets exactly one JSON object, the result or
    the error, and people's text goes to stderr.
    """

    json: bool = False

    def say(self, text: str) -> None:
        """Progress, or a hint, for people."""
        click.echo(text, err=self.json)

    def result(self, facts: Mapping[str, Any], text: str) -> None:
        """What came out, in both forms; once in a command's life."""
        if self.json:
            click.echo(json.dumps(facts, ensure_ascii=False, default=str))
        elif text:
            click.echo(text)

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
        """What `error` prints, for a failure that is no `UShieldError`."""
        if self.json:
            body = {
                "code": code,
                "message": message,
                "remedy": remedy,
                "exit": int(exit_code),
                "facts": dict(facts or {}),
            }
            click.echo(json.dumps({"error": body}, ensure_ascii=False, default=str))
        click.echo(f"ushield: {message}", err=True)
        if remedy:
            click.echo(f"  {remedy}", err=True)


def reason_of(error: OSError) -> str:
    """The system's words for why a call failed, without number and quotes."""
    return error.strerror or type(error).__name__


def survive_any_terminal() -> None:
    """Write what a terminal's encoding cannot show as escapes, instead of failing on it."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
