"""Packages that import their names when they are used."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

SOURCES = Path(__file__).parent.parent / "src" / "ushield"
LAZY = [
    path
    for path in SOURCES.rglob("__init__.py")
    if "lazy_names" in path.read_text(encoding="utf-8")
]


def package_of(path: Path) -> str:
    return ".".join(("ushield", *path.parent.relative_to(SOURCES).parts))


def imported_for_type_checkers(path: Path) -> dict[str, str]:
    """Each name that stands under ``if TYPE_CHECKING``, and the module it is imported from."""
    (block,) = (node for node in ast.parse(path.read_text()).body if isinstance(node, ast.If))
    return {
        alias.name: str(node.module)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


@pytest.mark.parametrize("path", LAZY, ids=package_of)
def test_a_name_is_the_same_for_type_checkers_and_in_the_run(path: Path) -> None:
    package = import_module(package_of(path))
    names = imported_for_type_checkers(path)
    assert set(names) == set(package.__all__)
    for name, home in names.items():
        assert getattr(package, name) is getattr(import_module(home), name)


@pytest.mark.parametrize("path", LAZY, ids=package_of)
def test_names_are_listed_before_they_are_imported_and_others_are_not_there(path: Path) -> None:
    package = import_module(package_of(path))
    assert set(package.__all__) <= set(dir(package))
    with pytest.raises(AttributeError, match=f"module '{package.__name__}' has no attribute 'x'"):
        _ = package.x


def test_only_what_is_used_is_imported() -> None:
    code = (
        "import sys, ushield.virtual as virtual; before = set(sys.modules);"
        "virtual.ManualClock; print(*sorted(set(sys.modules) - before))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = [name for name in run.stdout.split() if name.startswith("ushield")]
    assert loaded == ["ushield.virtual.clock"]
