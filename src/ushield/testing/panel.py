"""Fingers and eyes for a token under test: press a key only if the screen shows what is expected.

An approval in a test is bound to an expectation: with none there is no `Expectation.press_ok`, so
a test cannot confirm a payment that it did not describe.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from ushield.shield.events import PanelKey
from ushield.transaction.forms import FORMS, KIND_LABEL
from ushield.transaction.pages import LABEL_END, Page
from ushield.transaction.repertoire import Repertoire
from ushield.virtual.panel import Panel
from ushield.virtual.token import VirtualToken

__all__ = [
    "Expectation",
    "HandPanel",
    "PanelDriver",
    "PanelMismatch",
    "VirtualPanel",
    "labels_of",
    "read_fields",
]


class PanelMismatch(AssertionError):
    """The screen does not show what the test expects; no key was pressed."""


def _field_names() -> dict[str, frozenset[str]]:
    labels: dict[str, set[str]] = {"kind": {KIND_LABEL}}
    for form in FORMS.values():
        for entry in form.entries:
            if entry.shown:
                name = entry.path.removesuffix(".name").replace(".", "_")
                labels.setdefault(name, set()).add(entry.label)
    return {name: frozenset(found) for name, found in labels.items()}


_LABELS = _field_names()


def labels_of(name: str) -> frozenset[str]:
    """What the field ``name`` of `PanelDriver.expect` may be called on the screen.

    Names are those of the JSON form (``payee``, ``payee_account``, ``amount``, ..), and ``kind``.
    `TypeError` for a field that no screen shows.
    """
    try:
        return _LABELS[name]
    except KeyError:
        known = ", ".join(sorted(_LABELS))
        raise TypeError(f"no screen shows a field {name!r}; those are {known}") from None


def read_fields(pages: tuple[Page, ...], label_mark: str) -> dict[str, str]:
    """What a person reads off drawn pages: each label with its value, wrapped lines joined.

    The status line, the last of each page, is left out.
    """
    fields: dict[str, str] = {}
    label = None
    for page in pages:
        for line in page[:-1]:
            if line.startswith(label_mark):
                label, _, value = line.removeprefix(label_mark).partition(LABEL_END)
                fields[label] = value
            elif label is not None:
                fields[label] += line
    return fields


class Expectation(Protocol):
    """A request that was seen to show what the test described; now it may be answered."""

    def press_ok(self) -> None:
        """Page to the end, and press OK."""

    def press_cancel(self) -> None:
        """Press C."""


class PanelDriver(Protocol):
    """The panel of a token under test: a virtual one's, or a person's hand on a real one."""

    @property
    def screen(self) -> Page:
        """The lines on the screen now."""

    def expect(self, **fields: str) -> Expectation:
        """Look for these fields on the screen, by their names in the JSON form of a transaction.

        An amount may be given with or without its currency. `PanelMismatch` if a field is missing
        or says something else, or no request is on the screen.
        """

    def press_cancel(self) -> None:
        """Press C, whatever is on the screen."""

    def page_down(self) -> None:
        """Press the key that turns to the next page."""

    def page_up(self) -> None:
        """Press the key that turns back."""


class _Answer:
    """An `Expectation` on a virtual panel, for the request that was looked at."""

    def __init__(self, driver: VirtualPanel, pages: tuple[Page, ...]) -> None:
        self._driver = driver
        self._pages = pages

    def _same_request(self) -> VirtualPanel:
        if self._driver.pages != self._pages:
            raise PanelMismatch("the screen has changed since the test looked at it")
        return self._driver

    def press_ok(self) -> None:
        driver = self._same_request()
        for _ in self._pages[1:]:
            driver.page_down()
        driver.press(PanelKey.OK)

    def press_cancel(self) -> None:
        self._same_request().press_cancel()


class VirtualPanel:
    """`PanelDriver` of a virtual token."""

    def __init__(self, token: VirtualToken) -> None:
        self._panel: Panel = token.panel
        self._label_mark = Repertoire(token.profile.screen.repertoire).label_mark

    @property
    def screen(self) -> Page:
        """See `PanelDriver.screen`."""
        return self._panel.screen

    @property
    def pages(self) -> tuple[Page, ...]:
        """All pages of the request on the screen; none while there is no request."""
        return self._panel.pages

    @property
    def fields(self) -> Mapping[str, str]:
        """What the request on the screen shows, by label."""
        return read_fields(self.pages, self._label_mark)

    def expect(self, **fields: str) -> Expectation:
        """See `PanelDriver.expect`."""
        if not fields:
            raise TypeError("say what the screen should show: expect(payee=.., amount=..)")
        wanted = {name: (labels_of(name), value) for name, value in fields.items()}
        pages, shown = self._look()
        for name, (labels, value) in wanted.items():
            found = [shown[label] for label in labels if label in shown]
            if not found:
                raise PanelMismatch(f"the screen shows no {name}; it shows {shown}")
            if value not in (found[0], found[0].rpartition(" ")[0]):
                raise PanelMismatch(f"the screen shows {name} {found[0]!r}, not {value!r}")
        return _Answer(self, pages)

    def expect_values(self, *values: str) -> Expectation:
        """Look for fields that say exactly this, under whatever label: a key's fingerprint, say."""
        if not values:
            raise TypeError("say what the screen should show")
        pages, shown = self._look()
        for value in values:
            if value not in shown.values():
                raise PanelMismatch(f"the screen shows no {value!r}; it shows {shown}")
        return _Answer(self, pages)

    def _look(self) -> tuple[tuple[Page, ...], dict[str, str]]:
        pages = self.pages
        if not pages:
            raise PanelMismatch(f"no request is on the screen, it shows {self.screen}")
        return pages, read_fields(pages, self._label_mark)

    def press(self, key: PanelKey) -> None:
        """Press a key and let go of it."""
        self._panel.press(key)

    def hold(self, key: PanelKey) -> None:
        """Press a key and keep it down."""
        self._panel.key_down(key)

    def release(self, key: PanelKey) -> None:
        """Let go of a key."""
        self._panel.key_up(key)

    def press_cancel(self) -> None:
        """See `PanelDriver.press_cancel`."""
        self.press(PanelKey.CANCEL)

    def page_down(self) -> None:
        """See `PanelDriver.page_down`."""
        self.press(PanelKey.DOWN)

    def page_up(self) -> None:
        """See `PanelDriver.page_up`."""
        self.press(PanelKey.UP)


class _Instruction:
    """An `Expectation` that a person meets."""

    def __init__(self, say: Callable[[str], None], fields: Mapping[str, str]) -> None:
        self._say = say
        self._shown = ", ".join(f"{name} {value}" for name, value in fields.items())

    def press_ok(self) -> None:
        self._say(f"On the token: read to the end; press OK only if it shows {self._shown}.")

    def press_cancel(self) -> None:
        self._say(f"On the token: it should show {self._shown}; press C.")


class HandPanel:
    """`PanelDriver` of real hardware: tells the person at it what to compare and press.

    Nothing here can look at the screen, so what the software cannot check, ``skip`` is called for.
    """

    def __init__(self, say: Callable[[str], None], skip: Callable[[str], None]) -> None:
        self._say = say
        self._skip = skip

    @property
    def screen(self) -> Page:
        """Skips the test: only a person sees it."""
        self._skip("reading its screen")
        return ()

    def expect(self, **fields: str) -> Expectation:
        """See `PanelDriver.expect`; the comparison is the person's."""
        if not fields:
            raise TypeError("say what the screen should show: expect(payee=.., amount=..)")
        for name in fields:
            labels_of(name)
        return _Instruction(self._say, fields)

    def press_cancel(self) -> None:
        """See `PanelDriver.press_cancel`."""
        self._say("On the token: press C.")

    def page_down(self) -> None:
        """See `PanelDriver.page_down`."""
        self._say("On the token: press the key for the next page.")

    def page_up(self) -> None:
        """See `PanelDriver.page_up`."""
        self._say("On the token: press the key for the page before.")
