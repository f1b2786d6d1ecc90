"""The click application: its commands are imported when they are run, its errors become codes."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NoReturn

import click

from ushield.cli.exit_codes import ExitCode, exit_code
from ushield.cli.invocation import (
    Invocation,
    device_ca_option,
    driver_option,
    json_option,
    token_option,
)
from ushield.cli.output import survive_any_terminal
from ushield.errors import UShieldError

__all__ = ["Application", "application"]

_COMMANDS = (
    "list",
    "info",
    "pin",
    "key",
    "cert",
    "sign",
    "verify",
    "batch",
    "vouchers",
    "apdu",
    "trace",
    "virtual",
    "bank",
    "demo",
)


_EXTRA_OF_MODULE = {
    "sqlalchemy": "bank",
    "alembic": "bank",
    "pyarrow": "archive",
    "starlette": "server",
    "uvicorn": "server",
    "h11": "server",
    "jsonschema": "server",
    "referencing": "server",
}


class Application(click.Group):
    """``ushield`` itself. Every way out of `main` is a `SystemExit` with an `ExitCode`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order a person needs them, not the alphabet's."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of one command."""
        if cmd_name not in _COMMANDS:
            return None
        module = import_module(f"ushield.cli.commands.{cmd_name}_command")
        command: click.Command = module.command
        return command

    def main(  # type: ignore[override]  # narrower than all that click takes
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        **extra: Any,
    ) -> NoReturn:
        """Run with ``args`` (``sys.argv`` without them) and leave by `SystemExit`."""
        invocation = Invocation()
        survive_any_terminal()
        sys.exit(self._run(invocation, args, prog_name or "ushield", extra))

    def _run(
        self,
        invocation: Invocation,
        args: Sequence[str] | None,
        prog_name: str,
        extra: dict[str, Any],
    ) -> int:
        output = invocation.output
        extra = {**extra, "standalone_mode": False, "obj": invocation}
        try:
            code = super().main(args, prog_name, **extra)
        except UShieldError as error:
            _trace()
            output.error(error)
            return exit_code(error)
        except click.Abort:
            output.failure("interrupted", "interrupted", "", exit_code=ExitCode.INTERRUPTED)
            return ExitCode.INTERRUPTED
        except click.ClickException as error:
            return self._usage(invocation, error)
        except ModuleNotFoundError as error:
            _trace()
            return self._missing(invocation, error)
        # The last line of defence: no traceback for people.
        except Exception as error:  # noqa: BLE001
            _trace()
            return self._unexpected(invocation, error)
        return code if isinstance(code, int) else ExitCode.DONE

    @staticmethod
    def _unexpected(invocation: Invocation, error: Exception) -> int:
        invocation.output.failure(
            "unexpected",
            f"unexpected: {type(error).__name__}: {error}".replace("\n", " "),
            "Run it again with USHIELD_DEBUG=1 and report what it prints.",
            exit_code=ExitCode.UNEXPECTED,
        )
        return ExitCode.UNEXPECTED

    def _missing(self, invocation: Invocation, error: ModuleNotFoundError) -> int:
        module = (error.name or "").partition(".")[0]
        extra = _EXTRA_OF_MODULE.get(module)
        if extra is None:
            return self._unexpected(invocation, error)
        invocation.output.failure(
            "extra-missing",
            f"this command needs {module}, which is not installed",
            f"pip install 'ushield[{extra}]'",
            exit_code=ExitCode.UNEXPECTED,
        )
        return ExitCode.UNEXPECTED

    @staticmethod
    def _usage(invocation: Invocation, error: click.ClickException) -> int:
        if isinstance(error, click.exceptions.NoArgsIsHelpError):
            error.show()
            return ExitCode.USAGE
        context = getattr(error, "ctx", None)
        remedy = f"See `{context.command_path} --help`." if context else "See `ushield --help`."
        invocation.output.failure("usage", error.format_message(), remedy, exit_code=ExitCode.USAGE)
        return ExitCode.USAGE


def _trace() -> None:
    if os.environ.get("USHIELD_DEBUG"):
        import traceback

        traceback.print_exc()


def _print_version(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value and not context.resilient_parsing:
        import ushield

        click.echo(f"ushield {ushield.__version__}")
        context.exit()


application = Application(
    name="ushield",
    help="""Sign bank transactions with a USB token that shows them and asks for its OK button.

    The token is named with --token, or with the environment variable USHIELD_TOKEN; unnamed, it
    is the only one plugged in.

    Example: ushield --token virtual:alice.token pin status
    """,
    params=[
        token_option(envvar="USHIELD_TOKEN", show_envvar=True),
        driver_option(envvar="USHIELD_DRIVER", show_envvar=True),
        device_ca_option(envvar="USHIELD_DEVICE_CA", show_envvar=True),
        json_option(),
        click.Option(
            ["--version"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_print_version,
            help="Print the version.",
        ),
    ],
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
