"""Packages whose names are imported when they are first used (PEP 562).

``import ushield`` stays light by it. Such a package has its imports twice, for type checkers and
for the run::

    if TYPE_CHECKING:
        from ushield.bank.trust import TrustStore
    else:
        __getattr__, __dir__ = lazy_names(__name__, {"trust": ("TrustStore",)})
"""

from __future__ import annotations

# Type checkers take this for `typing.TYPE_CHECKING`; that module takes 10 ms to import.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

__all__ = ["lazy_names"]


def lazy_names(
    package: str, names: Mapping[str, tuple[str, ...]]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """``__getattr__`` and ``__dir__`` of ``package``, whose modules define these ``names``."""
    homes = {name: home for home, defined in names.items() for name in defined}

    def get_attribute(name: str) -> Any:
        home = homes.get(name)
        if home is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        import sys
        from importlib import import_module

        value = getattr(import_module(f"{package}.{home}"), name)
        setattr(sys.modules[package], name, value)
        return value

    def directory() -> list[str]:
        import sys

        return sorted({*vars(sys.modules[package]), *homes})

    return get_attribute, directory
