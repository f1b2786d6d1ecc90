"""Sign bank transactions with a USB token that shows them and asks for its OK button.

`open_token` is where to start; the errors are in `ushield.errors`. Nothing heavy is imported until
it is used.
"""

from __future__ import annotations

from ushield.lazy import lazy_names

# Type checkers take this for `typing.TYPE_CHECKING`; that module takes 10 ms to import.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from ushield.keystore import Token
    from ushield.pin import Pin
    from ushield.signing import SigningToken, TransactionSignature, open_token
    from ushield.version import __version__
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "keystore": ("Token",),
            "pin": ("Pin",),
            "signing": ("SigningToken", "TransactionSignature", "open_token"),
            "version": ("__version__",),
        },
    )

__all__ = ["Pin", "SigningToken", "Token", "TransactionSignature", "__version__", "open_token"]
