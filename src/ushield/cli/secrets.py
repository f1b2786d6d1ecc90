"""PINs and PUKs from a prompt, a file or a descriptor; never from an argument."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any, TypeVar

import click

from ushield.cli.invocation import Invocation
from ushield.cli.output import reason_of
from ushield.cli.terminal import ask_secret, has_terminal
from ushield.errors import InputInvalid
from ushield.pin import Pin

__all__ = [
    "SecretMissing",
    "SecretSource",
    "last_try_option",
    "new_pin_option",
    "new_puk_option",
    "pin_options",
    "puk_option",
    "secret_options",
]

_MAX_SECRET = 256
_STDIN = "-"
_TAKEN = "ushield.cli.secrets.stdin_taken"

F = TypeVar("F", bound=Callable[..., Any])


class SecretMissing(InputInvalid):
    """No secret where one was to be."""

    code = "secret-missing"
    default_remedy = "Put the secret on the first line, and nothing else there."


class SecretSource:
    """Where one secret comes from; nothing is read before `read`.

    A file's first line is the secret, without its line end.
    """

    __slots__ = ("_descriptor", "_file", "_name")

    def __init__(self, name: str, file: str | None = None, descriptor: int | None = None) -> None:
        self._name = name
        self._file = file
        self._descriptor = descriptor

    @property
    def given(self) -> bool:
        """Whether an option says where it is; if not, a person is asked."""
        return self._file is not None or self._descriptor is not None

    def read(self, *, twice: bool = False) -> Pin:
        """The secret. ``twice`` makes a person type a new one again.

        `SecretMissing`, or `click.UsageError` where nobody can be asked.
        """
        if self._descriptor is not None:
            return self._from_descriptor(self._descriptor, f"descriptor {self._descriptor}")
        if self._file == _STDIN:
            return self._from_descriptor(0, "the standard input")
        if self._file is not None:
            try:
                descriptor = os.open(self._file, os.O_RDONLY | os.O_CLOEXEC)
            except OSError as error:
                raise SecretMissing(
                    f"{self._file}: {reason_of(error)}",
                    remedy=f"Name a file that you may read, with the {self._name} on its first"
                    " line.",
                ) from error
            try:
                return self._from_descriptor(descriptor, self._file)
            finally:
                os.close(descriptor)
        return self._from_person(twice=twice)

    def _from_descriptor(self, descriptor: int, where: str) -> Pin:
        line = bytearray()
        try:
            # A byte at a time: what follows the first line belongs to whoever reads it next.
            while len(line) <= _MAX_SECRET and (byte := os.read(descriptor, 1)):
                if byte == b"\n":
                    break
                line += byte
        except OSError as error:
            raise SecretMissing(
                f"{where}: {reason_of(error)}", remedy="Open it for reading before: 3< pin.txt"
            ) from error
        if line.endswith(b"\r"):
            del line[-1:]
        if not line or len(line) > _MAX_SECRET:
            raise SecretMissing(f"no {self._name} on the first line of {where}")
        return _wrap(line)

    def _from_person(self, *, twice: bool) -> Pin:
        if not has_terminal():
            option = self._name.lower().replace(" ", "-")
            raise click.UsageError(
                f"no terminal to ask for the {self._name} on: give --{option}-file"
            )
        typed = ask_secret(f"{self._name}: ")
        if not typed:
            raise SecretMissing(f"no {self._name} was typed", remedy="Type it, then press Enter.")
        secret = _wrap(typed)
        if twice:
            with _wrap(ask_secret(f"{self._name} again: ")) as again:
                if again != secret:
                    secret.wipe()
                    raise SecretMissing(
                        f"the two entries of the {self._name} differ",
                        remedy="Type it the same way twice.",
                    )
        return secret


def _wrap(secret: bytearray) -> Pin:
    try:
        return Pin(secret)
    finally:
        secret[:] = bytes(len(secret))


def secret_options(
    name: str, parameter: str, option: str, *, descriptor: bool = False
) -> Callable[[F], F]:
    """``OPTION-file``, and ``OPTION-fd`` if ``descriptor``, as the `SecretSource` ``parameter``."""

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def with_source(*args: Any, **values: Any) -> Any:
            file = values.pop(f"{parameter}_file")
            number = values.pop(f"{parameter}_fd", None)
            if file is not None and number is not None:
                raise click.UsageError(f"{option}-file or {option}-fd, not both")
            if file == _STDIN:
                _take_stdin(parameter)
            values[parameter] = SecretSource(name, file, number)
            return function(*args, **values)

        decorated: Any = click.option(
            f"{option}-file",
            f"{parameter}_file",
            metavar="FILE",
            type=click.Path(dir_okay=False, allow_dash=True),
            help=f"Read the {name} from FILE's first line; - is the standard input.",
        )(with_source)
        if descriptor:
            decorated = click.option(
                f"{option}-fd",
                f"{parameter}_fd",
                metavar="N",
                type=click.IntRange(min=0),
                help=f"Read the {name} from the open descriptor N.",
            )(decorated)
        result: F = decorated
        return result

    return decorate


def last_try_option(function: F) -> F:
    """``--allow-last-try``, kept in the `Invocation`."""

    def allow(context: click.Context, parameter: click.Parameter, value: bool) -> None:
        context.ensure_object(Invocation).allow_last_try |= value

    return click.option(
        "--allow-last-try",
        is_flag=True,
        expose_value=False,
        callback=allow,
        help="Go on even if a wrong entry would lock the token.",
    )(function)


def _take_stdin(parameter: str) -> None:
    meta = click.get_current_context().meta
    if meta.setdefault(_TAKEN, parameter) != parameter:
        raise click.UsageError("only one secret can come from the standard input")


pin_options = secret_options("PIN", "pin", "--pin", descriptor=True)
puk_option = secret_options("PUK", "puk", "--puk")
new_pin_option = secret_options("new PIN", "new_pin", "--new-pin")
new_puk_option = secret_options("new PUK", "new_puk", "--new-puk")
