"""The page of the command line names every command and every exit code."""

from __future__ import annotations

import re
from pathlib import Path

import click

from ushield.cli.application import application
from ushield.cli.exit_codes import ExitCode

REPOSITORY = Path(__file__).parent.parent.parent
PAGE = (REPOSITORY / "docs" / "command-line.md").read_text()


def test_every_exit_code_is_there_and_no_other() -> None:
    told = [int(code) for code in re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)]
    assert told == [code.value for code in ExitCode]


def leaves(command: click.Command | None, name: str) -> set[str]:
    subcommands = getattr(command, "commands", None)
    if not subcommands:
        return {name}
    return set().union(*(leaves(each, f"{name} {word}") for word, each in subcommands.items()))


def test_every_command_with_its_subcommands_is_there_and_no_other() -> None:
    commands: set[str] = set()
    with application.make_context("ushield", [], resilient_parsing=True) as context:
        for name in application.list_commands(context):
            commands |= leaves(application.get_command(context, name), name)
    told = set()
    for cell in re.findall(r"^\| (`[a-z].*?) \|", PAGE, re.MULTILINE):
        for code in re.findall("`(.+?)`", cell):
            told.add(re.sub(r" (?![a-z]).*", "", code))
    assert told == commands


def test_every_link_of_the_documents_leads_somewhere() -> None:
    for page in (REPOSITORY / "README.md", *(REPOSITORY / "docs").rglob("*.md")):
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def anchors(page: Path) -> set[str]:
    """What GitHub makes of the page's headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


def test_every_link_to_a_heading_finds_it() -> None:
    for page in (REPOSITORY / "README.md", *(REPOSITORY / "docs").rglob("*.md")):
        for target, anchor in re.findall(r"\]\(([^)#:]*)#([^)]*)\)", page.read_text()):
            there = page.parent / target if target else page
            assert anchor in anchors(there), f"{page.name}: {target}#{anchor}"


def test_the_readme_names_every_page() -> None:
    named = set(re.findall(r"\]\(docs/([^)#]+\.md)\)", (REPOSITORY / "README.md").read_text()))
    assert named == {page.name for page in (REPOSITORY / "docs").glob("*.md")}
