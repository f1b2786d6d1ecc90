"""The structure that the architecture document promises."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent
SOURCES = sorted((REPOSITORY / "src" / "ushield").rglob("*.py"))


def test_imports_point_one_way_as_the_contracts_say() -> None:
    contracts = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert contracts.returncode == 0, contracts.stdout


@pytest.mark.parametrize("package", ["cryptography", "asn1crypto", "usb", "usbip", "sqlite3"])
def test_importing_ushield_loads_nothing_heavy(package: str) -> None:
    assert find_spec(package) is not None
    # Something that watches the interpreter, such as coverage, may have loaded it before.
    code = f"import sys; before = {package!r} in sys.modules; import ushield; "
    code += f"sys.exit({package!r} in sys.modules and not before)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_every_public_module_says_what_it_is_for_and_what_it_exports(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree), "no docstring"
    if path.name.startswith("_") or not any(
        isinstance(node, ast.ClassDef | ast.FunctionDef) for node in tree.body
    ):
        return
    names = {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    assert "__all__" in names


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_every_exported_name_is_there(path: Path) -> None:
    parts = path.relative_to(REPOSITORY / "src").with_suffix("").parts
    if parts[-1] == "__main__":
        return
    module = import_module(".".join(parts).removesuffix(".__init__"))
    exported = getattr(module, "__all__", [])
    assert [name for name in exported if not hasattr(module, name)] == []
    assert len(set(exported)) == len(exported)


def test_each_decision_has_a_number_of_its_own_and_none_is_left_out() -> None:
    pages = sorted((REPOSITORY / "docs" / "decisions").iterdir())
    assert [page.name[:5] for page in pages] == [f"{n:04d}-" for n in range(1, len(pages) + 1)]
    titles = [page.read_text().partition("\n")[0] for page in pages]
    assert [title.split()[:2] for title in titles] == [
        ["#", f"{n}."] for n in range(1, len(pages) + 1)
    ]


SUPPRESSION = re.compile(r"# (?:noqa\b(?::[\w, ]*)?|type: ignore(?:\[[\w, -]+\])?)(?P<reason>.*)$")


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_a_check_is_switched_off_for_a_reason_that_stands_there(path: Path) -> None:
    lines = path.read_text().splitlines()
    for above, line in zip(["", *lines], lines, strict=False):
        found = SUPPRESSION.search(line)
        # A base class of a package without types needs no more words.
        if found and not line.endswith("# type: ignore[misc]"):
            assert found["reason"].strip() or "#" in above, line


PAGE = (REPOSITORY / "docs" / "architecture.md").read_text()
FOR_ALL = {"errors", "pin", "algorithms", "lazy", "plugins"}


def imported() -> dict[str, set[str]]:
    """The packages and modules of `ushield`, and which others each imports."""
    root = REPOSITORY / "src" / "ushield"
    found: dict[str, set[str]] = {}
    for path in SOURCES:
        package = path.relative_to(root).parts[0].removesuffix(".py")
        others = found.setdefault(package, set())
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ushield."):
                others.add(str(node.module).split(".")[1])
    return {name: others - {name} - FOR_ALL for name, others in found.items() if name[0] != "_"}


def reachable(arrows: dict[str, set[str]], start: str) -> set[str]:
    found: set[str] = set()
    todo = [start]
    while todo:
        todo += (new := arrows.get(todo.pop(), set()) - found)
        found |= new
    return found


def told_by_the_table() -> dict[str, set[str]]:
    rows = re.findall(r"^\| (`.+?) \|.*\| (.+?) \|$", PAGE, re.MULTILINE)
    return {
        name: set(re.findall("`(.+?)`", needs)) - FOR_ALL
        for names, needs in rows
        for name in re.findall("`(.+?)`", names)
    }


def drawn() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for start, end in re.findall(r"^ +(\w+)(?:\[.*\])? --> (\w+)", PAGE, re.MULTILINE):
        found.setdefault(start, set()).add(end)
    return found


@pytest.mark.parametrize("arrows", [told_by_the_table(), drawn()], ids=["table", "diagram"])
def test_the_architecture_page_has_the_imports_of_every_package(
    arrows: dict[str, set[str]],
) -> None:
    for name, others in imported().items():
        # The command line may use all of them, and the version nobody's.
        if name not in {"cli", "version", *FOR_ALL}:
            assert arrows.get(name, set()) <= others, f"{name} imports no such package"
            assert others <= reachable(arrows, name), f"{name} imports more than that"


def test_the_table_has_every_package() -> None:
    assert set(told_by_the_table()) == set(imported()) - {"version"}
