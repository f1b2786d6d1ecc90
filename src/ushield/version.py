"""The version that is installed; a module of its own, because asking for it takes 20 ms."""

from __future__ import annotations

from importlib.metadata import version

__all__ = ["__version__"]

__version__ = version("ushield")
