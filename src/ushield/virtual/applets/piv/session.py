"""What the PIV application knows until it loses power, or another application is selected."""

from __future__ import annotations

from dataclasses import dataclass, field

from ushield.iso7816.status import StatusWord
from ushield.piv.commands import PinPolicy, TouchPolicy
from ushield.transaction.message import Field
from ushield.transaction.pages import lay_out
from ushield.transaction.repertoire import Repertoire
from ushield.virtual.applets.firmware import Firmware, refused
from ushield.virtual.nvram import PivKey

__all__ = ["TOUCH_TIME", "PivSession", "Question"]

TOUCH_TIME = 15.0
"""Seconds that a key waits for OK, and that one press serves a key with `TouchPolicy.CACHED`."""

_HIDDEN = (("内容", "不显示"), ("Content", "not shown"))


@dataclass(frozen=True, slots=True)
class Question:
    """What the screen asks, in Chinese and in English: label and text."""

    chinese: tuple[str, str]
    english: tuple[str, str]


@dataclass(slots=True)
class PivSession:
    """The security status, and the ways to it.

    ``challenge`` is what the management key must answer next: the plain bytes, and whether they
    are a witness that the host decrypts (mutual) or a challenge that it encrypts. ``secured``: the
    command at hand came through a secure channel; ``proven_secured``: so did a proof, of the PIN
    or the management key. ``touched``: when a slot's key was last touched for, and whether that was
    through a channel.
    """

    firmware: Firmware
    pin_verified: bool = False
    pin_unused: bool = False
    administrator: bool = False
    challenge: tuple[bool, bytes] | None = None
    secured: bool = False
    proven_secured: bool = False
    touched: dict[int, tuple[float, bool]] = field(default_factory=dict)

    def forget(self) -> None:
        """Be as after power-up."""
        self.forget_pin()
        self.administrator = False
        self.challenge = None
        self.proven_secured = False
        self.touched.clear()

    def prove(self) -> None:
        """Something was proven by the command at hand."""
        self.proven_secured = self.proven_secured or self.secured

    def end_channel(self) -> None:
        """Be as after power-up if anything was proven through the channel that is no more; a touch
        for what came through it serves nobody else.
        """
        if self.proven_secured:
            self.forget()
        self.touched = {slot: touch for slot, touch in self.touched.items() if not touch[1]}

    def forget_pin(self) -> None:
        """The PIN counts as not verified."""
        self.pin_verified = self.pin_unused = False

    def require_administrator(self) -> None:
        """Refuse unless the management key was proven."""
        if not self.administrator:
            raise refused(StatusWord.SECURITY_STATUS_NOT_SATISFIED)

    def require_pin(self) -> None:
        """Refuse unless the PIN was verified."""
        if not self.pin_verified:
            raise refused(StatusWord.SECURITY_STATUS_NOT_SATISFIED)

    def authorise(self, key: PivKey, question: Question) -> None:
        """Let ``key`` be used once, as its policies say; it may wait for the panel."""
        if key.pin_policy is not PinPolicy.NEVER:
            fresh = self.pin_unused or key.pin_policy is not PinPolicy.ALWAYS
            if not (self.pin_verified and fresh):
                raise refused(StatusWord.SECURITY_STATUS_NOT_SATISFIED)
            self._require_own_pin()
        # SP 800-73pt1-5, table 4, "PIN Always": the VERIFY stands right before the key's use.
        self.pin_unused = False
        if key.touch_policy is TouchPolicy.ALWAYS:
            self.touch(question)
        elif key.touch_policy is TouchPolicy.CACHED:
            self._touch_unless_lately(key.slot, question)

    def _require_own_pin(self) -> None:
        if self.firmware.has_foreign_pin():
            raise refused(StatusWord.CONDITIONS_NOT_SATISFIED)

    def _touch_unless_lately(self, slot: int, question: Question) -> None:
        clock = self.firmware.clock
        last = self.touched.get(slot)
        if last is None or clock.monotonic() - last[0] >= TOUCH_TIME:
            self.touch(question)
            self.touched[slot] = (clock.monotonic(), self.secured)

    def touch(self, question: Question) -> None:
        """Ask on the screen and wait for OK; refuse if another key comes, or none."""
        screen = self.firmware.screen
        language = 0 if screen.repertoire is Repertoire.GBK else 1
        asked = (question.chinese, question.english)[language]
        pages = lay_out((Field(*asked), Field(*_HIDDEN[language])), screen)
        if not self.firmware.panel.ask(pages, TOUCH_TIME):
            # Not 6982: for that some hosts enter a kept PIN and try again, and a person who
            # pressed Cancel would be asked anew.
            raise refused(StatusWord.CONDITIONS_NOT_SATISFIED)
