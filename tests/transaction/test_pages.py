"""The screen shows all of the message, in order, and the same way every time."""

from __future__ import annotations

import hashlib
import re
from itertools import pairwise

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.transaction.strategies import DRAWABLE, EXAMPLES, TRANSFER, transactions
from ushield.errors import DisplayRefused, InputInvalid
from ushield.transaction import (
    Batch,
    Field,
    Page,
    Repertoire,
    Screen,
    Transaction,
    lay_out,
    pages_digest,
    parse_message,
    write_message,
)

GBK = Repertoire.GBK
screens = st.builds(
    Screen,
    lines=st.integers(4, 12),
    columns=st.integers(16, 40),
    banner=st.sampled_from(["", "虚拟"]),
    max_pages=st.just(99),
)


def _shown(transaction: Transaction) -> tuple[Field, ...]:
    return parse_message(write_message(transaction)).shown


def _content(pages: tuple[Page, ...]) -> list[str]:
    return [line for page in pages for line in page[:-1] if line]


def _fields_as_drawn(pages: tuple[Page, ...], fields: tuple[Field, ...]) -> list[Field]:
    """Read the fields off the pages as a person would: a mark begins a label, a colon ends it."""
    found: list[Field] = []
    label = value = ""
    for line in _content(pages):
        if line.startswith("◆"):
            if label:
                found.append(Field(label, value))
            label, _, value = line[1:].partition(":")
        else:
            value += line
    found.append(Field(label, value))
    assert len(found) == len(fields)
    return found


@given(transactions(DRAWABLE), screens)
@settings(max_examples=150)
def test_a_person_reads_every_field_off_the_pages_whole_and_in_order(
    transaction: Transaction, screen: Screen
) -> None:
    fields = _shown(transaction)
    assert tuple(_fields_as_drawn(lay_out(fields, screen), fields)) == fields


@given(transactions(DRAWABLE), screens)
@settings(max_examples=60)
def test_no_line_is_wider_and_no_page_taller_than_the_screen(
    transaction: Transaction, screen: Screen
) -> None:
    pages = lay_out(_shown(transaction), screen)
    for page in pages:
        assert len(page) == screen.lines
        for line in page:
            assert sum(GBK.cells(line)) <= screen.columns
    assert pages == lay_out(_shown(transaction), screen)


@given(transactions(DRAWABLE), screens)
@settings(max_examples=60)
def test_a_label_is_never_the_last_line_of_a_page(transaction: Transaction, screen: Screen) -> None:
    for page in lay_out(_shown(transaction), screen):
        content = [line for line in page[:-1] if line]
        assert not (content[-1].startswith("◆") and content[-1].endswith(":"))


@given(transactions(DRAWABLE), st.integers(4, 12), st.integers(15, 40))
@settings(max_examples=60)
def test_an_amount_stands_whole_on_one_page(
    transaction: Transaction, lines: int, columns: int
) -> None:
    fields = _shown(transaction)
    amounts = [value for label, value in fields if label in ("金额", "总金额")]
    pages = lay_out(fields, Screen(lines=lines, columns=columns, max_pages=99))
    for amount in amounts:
        assert sum(amount in "".join(page[:-1]) for page in pages) >= 1


def test_an_amount_that_fits_on_no_page_is_refused() -> None:
    screen = Screen(lines=3, columns=10, max_pages=99)
    fields = [Field("金额", "999,999,999,999,999.99 CNY")]
    with pytest.raises(DisplayRefused) as caught:
        lay_out(fields, screen)
    assert caught.value.reason == "too-long"
    assert len(lay_out([Field("收款人", fields[0].value)], screen)) > 1


@pytest.mark.parametrize("columns", [12, 14, 16, 32, 78, 128])
def test_a_digest_is_read_in_groups_and_no_line_ends_within_one(columns: int) -> None:
    (digest,) = (field for field in _shown(EXAMPLES[4]) if field.label == "明细摘要")
    assert re.fullmatch("([0-9a-f]{4} ){15}[0-9a-f]{4}", digest.value)
    for lines in (4, 12):
        screen = Screen(lines=lines, columns=columns, max_pages=99)
        content = _content(lay_out([digest], screen))
        value = "".join(content).removeprefix("◆明细摘要:")
        assert value == digest.value
        for line in content[1:]:
            assert re.fullmatch("([0-9a-f]{4} )*([0-9a-f]{4} ?)", line)


def test_a_batch_on_the_default_screen() -> None:
    pages = lay_out(_shown(EXAMPLES[4]), Screen(banner="虚拟"))
    contents = [page[:-1] for page in pages]
    digits = batch_digest_of_the_example().hex(" ", -2)
    assert contents[:5] == [
        ("◆业务:批量转账", "◆笔数:2", ""),
        ("◆总金额:", "3.50 CNY", ""),
        ("◆明细摘要:", digits[:15], digits[15:30]),
        (digits[30:45], digits[45:60], digits[60:75]),
        (digits[75:], "◆付款人:李四", ""),
    ]
    assert len(pages) <= Screen().max_pages


def batch_digest_of_the_example() -> bytes:
    batch = EXAMPLES[4]
    assert isinstance(batch, Batch)
    return batch.digest


def test_a_screen_too_low_for_a_label_and_its_value_is_refused() -> None:
    with pytest.raises(DisplayRefused) as caught:
        lay_out([Field("收款人", "张三" * 4)], Screen(lines=2))
    assert caught.value.reason == "too-long"


def test_a_login_on_the_default_screen() -> None:
    screen = Screen(banner="虚拟")
    assert lay_out(_shown(EXAMPLES[3]), screen) == (
        ("◆业务:登录", "", "", "虚拟 1/3 ↓"),
        ("◆登录网站:", "mybank.example.c", "om", "虚拟 2/3 ↑↓"),
        ("◆用户:李四", "", "", "虚拟 3/3 OK/C"),
    )


def test_a_single_page_offers_ok_and_cancel_at_once() -> None:
    (page,) = lay_out([Field("用户", "李四")], Screen())
    assert page[-1] == "1/1 OK/C"


def test_full_width_characters_take_two_cells() -> None:
    (page,) = lay_out([Field("用户", "a" + "字" * 8)], Screen())
    assert page[:3] == ("◆用户:", "a" + "字" * 7, "字")


@pytest.mark.parametrize(
    ("value", "lines"),
    [("字" * 4 + "a", ("◆用户:" + "字" * 4 + "a", "")), ("字" * 5, ("◆用户:", "字" * 5))],
)
def test_a_value_stands_beside_its_label_if_both_fit(value: str, lines: tuple[str, str]) -> None:
    (page,) = lay_out([Field("用户", value)], Screen())
    assert page[:2] == lines


@pytest.mark.parametrize(
    ("character", "cells"),
    [
        *(("a", 1), (" ", 1), ("~", 1), ("字", 2), ("é", 2), ("Ж", 2), ("→", 2), ("\uff21", 2)),
        *(("½", 0), ("¥", 0), ("€", 0), ("\U00020bb7", 0)),
        *(("\u0000", 0), ("\u007f", 0), ("\ud800", 0)),
    ],
)
def test_the_gbk_repertoire_is_printable_ascii_and_what_gbk_encodes(
    character: str, cells: int
) -> None:
    if cells:
        assert GBK.cells(character) == [cells]
    else:
        with pytest.raises(DisplayRefused):
            GBK.cells(character)


def test_a_character_without_glyph_is_refused_by_name_and_never_drawn_blank() -> None:
    with pytest.raises(DisplayRefused, match=r"U\+20BB7 \(CJK UNIFIED IDEOGRAPH-20BB7\)") as caught:
        lay_out([Field("商户", "\U00020bb7野家")], Screen())
    assert (caught.value.reason, caught.value.character) == ("glyph", "\U00020bb7")


def test_a_screen_with_ascii_only_refuses_chinese_and_draws_ascii() -> None:
    screen = Screen(repertoire=Repertoire.ASCII)
    with pytest.raises(DisplayRefused, match=r"U\+4E1A"):
        lay_out(_shown(TRANSFER), screen)
    assert lay_out([Field("payee", "Zhang San"), Field("amount", "1.00 CNY")], screen) == (
        ("#payee:Zhang San", "#amount:1.00 CNY", "", "1/1 OK/C"),
    )


@pytest.mark.parametrize("field", [Field("用户", "李◆四"), Field("用◆户", "李四")])
def test_a_text_cannot_look_like_a_label(field: Field) -> None:
    with pytest.raises(DisplayRefused) as caught:
        lay_out([field], Screen())
    assert (caught.value.reason, caught.value.character) == ("glyph", "◆")


def test_more_pages_than_the_screen_shows_are_refused() -> None:
    fields = [Field("用户", "李四" * 4)] * 5
    assert len(lay_out(fields, Screen(max_pages=5))) == 5
    with pytest.raises(DisplayRefused) as caught:
        lay_out(fields, Screen(max_pages=4))
    assert caught.value.reason == "too-long"


@pytest.mark.parametrize(
    "screen",
    [
        {"lines": 1},
        {"lines": 65},
        {"columns": 1},
        {"columns": 129},
        {"max_pages": 0},
        {"max_pages": 100},
        {"columns": 9},
        {"banner": "很长的一段文字"},
        {"banner": "\U00020bb7"},
        {"banner": "虚\n拟"},
    ],
)
def test_what_is_no_screen_is_refused(screen: dict[str, int]) -> None:
    with pytest.raises(InputInvalid):
        Screen(**screen)  # type: ignore[arg-type]


def test_the_digest_of_pages_is_over_their_documented_bytes() -> None:
    pages = [("一", "1/2"), ("", "2/2")]
    hashed = "ushield pages 2\n一\n1/2\n\n2/2".encode()
    assert pages_digest(pages) == hashlib.sha256(hashed).digest()


@given(st.integers(1, 3).flatmap(lambda lines: st.tuples(*(_pages_of(lines),) * 2)))
def test_other_pages_have_another_digest(found: tuple[list[Page], list[Page]]) -> None:
    one, other = found
    assume(one != other)
    assert pages_digest(one) != pages_digest(other)


def _pages_of(lines: int) -> st.SearchStrategy[list[Page]]:
    line = st.text("ab字", max_size=3)
    return st.lists(st.tuples(*(line,) * lines), min_size=1, max_size=3)


@pytest.mark.parametrize("pages", [[], [()], [("a\nb", "c")], [("a", "b"), ("c", "d\n")]])
def test_what_no_screen_draws_has_no_digest(pages: list[Page]) -> None:
    with pytest.raises(InputInvalid):
        pages_digest(pages)


def test_pages_of_all_examples_differ_from_each_other() -> None:
    digests = [pages_digest(lay_out(_shown(transaction), Screen())) for transaction in EXAMPLES]
    assert all(one != other for one, other in pairwise(sorted(digests)))
