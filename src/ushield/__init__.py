"""Sign bank transactions with a USB token that shows them and asks for its OK button.

`open_token` is where to start; the errors are in `ushield.errors`. Nothing heavy is imported until
it is used.
"""

from __future__ import annotations

# Type checkers take this for `typing.TYPE_CHECKING`; the module itself takes 10 ms to import.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from typing import Any

    from ushield.keystore import Token
    from ushield.pin import Pin
    from ushield.signing import SigningToken, TransactionSignature, open_token

__all__ = ["Pin", "SigningToken", "Token", "TransactionSignature", "__version__", "open_token"]

_HOMES = {
    "Pin": "ushield.pin",
    "SigningToken": "ushield.signing",
    "Token": "ushield.keystore",
    "TransactionSignature": "ushield.signing",
    "open_token": "ushield.signing",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("ushield")
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
