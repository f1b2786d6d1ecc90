"""Whether the token showed what it signed: the pages are drawn again from the message."""

from __future__ import annotations

from functools import lru_cache

from ushield.bank.rejection import RejectionReason, TransactionRejected
from ushield.cms.receipt import Receipt
from ushield.errors import DisplayRefused, InputInvalid
from ushield.transaction.message import Message
from ushield.transaction.pages import MOST_PAGES, Screen, draw, drawn_digest
from ushield.transaction.repertoire import Repertoire

__all__ = ["check_pages", "screen_of"]


def check_pages(message: Message, receipt: Receipt) -> None:
    """`TransactionRejected` unless the receipt's digest is that of the message's pages, on the
    screen that it names.
    """
    try:
        screen = screen_of(receipt)
    except (ValueError, InputInvalid) as error:
        raise TransactionRejected(
            "the receipt names a screen that does not exist",
            reason=RejectionReason.RECEIPT_INVALID,
        ) from error
    shown = message.shown_count
    try:
        drawn = draw(message.labels[:shown], message.values[:shown], screen)
    except DisplayRefused as error:
        raise TransactionRejected(
            f"the token cannot have shown this message: {error}",
            reason=RejectionReason.PAGES_MISMATCH,
        ) from error
    if drawn_digest(drawn) != receipt.pages_digest:
        raise TransactionRejected(
            "the token showed other pages than this message has",
            reason=RejectionReason.PAGES_MISMATCH,
        )


def screen_of(receipt: Receipt) -> Screen:
    """The screen that a receipt names; `ValueError` or `InputInvalid` if there is none such."""
    return _screen(receipt.lines, receipt.columns, receipt.repertoire, receipt.banner)


@lru_cache(maxsize=256)
def _screen(lines: int, columns: int, repertoire: str, banner: str) -> Screen:
    return Screen(lines, columns, Repertoire(repertoire), banner, MOST_PAGES)
