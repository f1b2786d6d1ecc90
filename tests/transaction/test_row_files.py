"""Files of rows: what is written is read back, what is wrong is told with its line."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.transaction.strategies import PAYEE, accounts, money, texts, yuan
from ushield.transaction import MAX_BATCH_ROWS, BatchRow, Party
from ushield.transaction.row_files import MAX_LINE, RowsInvalid, read_rows

HEADER = "payee,account,bank,amount,currency,memo\n"
ROW = "张三,6222020200003333444,中国工商银行北京分行,1.00,CNY,工资\n"
ROWS = [BatchRow(PAYEE, yuan("1"), "工资"), BatchRow(PAYEE, yuan("2.50"))]
ANY = "ABC,\"'{}&<>; 张三李四é"
rows = st.lists(
    st.builds(
        BatchRow,
        st.builds(Party, texts(60, ANY), accounts, texts(60, ANY)),
        money(),
        st.none() | texts(100, ANY),
    ),
    min_size=1,
    max_size=5,
)


def read(text: str | bytes, currency: str | None = None) -> list[BatchRow]:
    data = text.encode() if isinstance(text, str) else text
    return list(read_rows(io.BytesIO(data), currency=currency))


def refusal(text: str | bytes, currency: str | None = None) -> RowsInvalid:
    with pytest.raises(RowsInvalid) as caught:
        read(text, currency)
    return caught.value


def as_csv(given_rows: list[BatchRow], **dialect: Any) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, **dialect)
    writer.writerow(["payee", "account", "bank", "amount", "currency", "memo"])
    writer.writerows(row.texts for row in given_rows)
    return stream.getvalue()


def as_json(row: BatchRow) -> str:
    name, account, bank, amount, currency, memo = row.texts
    found: dict[str, Any] = {"payee": {"name": name, "account": account, "bank": bank}}
    found |= {"amount": amount, "currency": currency}
    return json.dumps(found | ({"memo": memo} if memo else {}), ensure_ascii=False)


@given(rows, st.sampled_from(["\r\n", "\n"]), st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
@settings(max_examples=60)
def test_rows_written_as_csv_are_read_back(
    given_rows: list[BatchRow], end: str, quoting: int
) -> None:
    text = as_csv(given_rows, lineterminator=end, quoting=quoting)
    assert read(text) == given_rows
    assert read(b"\xef\xbb\xbf" + text.encode()) == given_rows


@given(rows)
@settings(max_examples=60)
def test_rows_written_as_json_lines_are_read_back(given_rows: list[BatchRow]) -> None:
    text = "\n".join(map(as_json, given_rows))
    assert read(text) == read(text + "\n\n") == given_rows


def test_columns_have_names_in_chinese_too_stand_in_any_order_and_may_be_left_out() -> None:
    text = "金额,收款人,收款行,收款账号\n1,张三,工商银行,6222\n\n2.5,李四,工商银行,6223"
    first, second = read(text, currency="CNY")
    assert first == BatchRow(Party("张三", "6222", "工商银行"), yuan("1.00"))
    assert second.payee.name == "李四"


def test_rows_come_one_by_one() -> None:
    stream = io.BytesIO((HEADER + ROW + "broken\n").encode())
    found = read_rows(stream)
    assert next(found).amount == yuan("1")
    with pytest.raises(RowsInvalid):
        next(found)


@pytest.mark.parametrize(
    ("text", "line", "field"),
    [
        ("", 1, None),
        ("\n", 1, "payee"),
        ("payee,account,bank\n", 1, "amount"),
        ("payee,account,bank,amount\n" + ROW, 1, "currency"),
        (HEADER.replace("memo", "note"), 1, None),
        (HEADER.replace("memo", "payee"), 1, "payee"),
        (HEADER.replace("memo", "收款人"), 1, "payee"),
        (HEADER + ROW + ROW.replace("1.00", "1.001"), 3, "amount"),
        (HEADER + ROW.replace("1.00", "1e3"), 2, "amount"),
        (HEADER + ROW.replace("1.00", "-1"), 2, "amount"),
        (HEADER + ROW.replace("1.00", "1,000"), 2, None),
        (HEADER + ROW.replace("1.00", '"1,000"'), 2, "amount"),
        (HEADER + ROW.replace("CNY", "RMB"), 2, "currency"),
        (HEADER + ROW.replace("CNY", ""), 2, "currency"),
        (HEADER + ROW.replace("6222020200003333444", "6.22202E+18"), 2, "payee.account"),
        (HEADER + ROW.replace("张三", ""), 2, "payee.name"),
        (HEADER + ROW.replace("张三", "张\u202e三"), 2, "payee.name"),
        (HEADER + ROW.replace("张三", '"张\n三"'), 3, "payee.name"),
        (HEADER + ROW.replace("工资", "x" * 101), 2, "memo"),
        (HEADER + ROW.replace(",工资", ""), 2, None),
        (HEADER + ROW.replace("张三", '"张三'), 2, None),
        (HEADER + ",,,,,\n", 2, "payee.name"),
        (HEADER + "x" * MAX_LINE + "\n", 2, None),
        (HEADER.encode() + ROW.encode("gbk"), 2, None),
        (HEADER.encode("utf-16"), 1, None),
        ("{\n", 1, None),
        ("{}\n", 1, "payee"),
        ('{"payee": "张三"}', 1, "payee"),
        (as_json(ROWS[0]) + "\n" + as_json(ROWS[0]).replace('"1.00"', "1.00"), 2, "amount"),
        (as_json(ROWS[0])[:-1] + ', "fee": "1"}', 1, "fee"),
        (as_json(ROWS[0])[:-1] + ', "amount": "2.00"}', 1, "amount"),
        (as_json(ROWS[1])[:-1] + ', "memo": []}', 1, "memo"),
        (as_json(ROWS[1])[:-1] + ', "memo": null}', 1, "memo"),
        (as_json(ROWS[0]) + "\n[]", 2, "transaction"),
        ("{" + "[" * 5000, 1, None),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_what_is_no_row_is_told_with_its_line_and_field(
    text: str | bytes, line: int, field: str | None
) -> None:
    error = refusal(text)
    assert (error.line, error.field) == (line, field)
    assert str(error).startswith(f"line {line}: ")


def test_a_file_in_another_encoding_is_told_how_to_be_saved() -> None:
    assert "CSV UTF-8" in refusal(HEADER.encode() + ROW.encode("gbk")).remedy


def test_a_line_that_is_too_long_is_told_as_such_and_not_read_in_pieces() -> None:
    row = ROW.replace("工资", "x" * MAX_LINE)
    assert f"longer than {MAX_LINE} bytes" in str(refusal(HEADER + row))
    most = ROW.replace("工资", "x" * (MAX_LINE - len(ROW.encode()) + len("工资".encode())))
    assert refusal(HEADER + most).field == "memo"


def test_a_row_too_many_ends_the_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    assert MAX_BATCH_ROWS == 100_000
    monkeypatch.setattr("ushield.transaction.row_files.MAX_BATCH_ROWS", 2)
    assert len(read(HEADER + ROW * 2)) == 2
    assert refusal(HEADER + ROW * 3 + "broken").line == 4


def test_a_line_without_end_and_a_quote_without_end_take_little() -> None:
    class Endless(io.RawIOBase):
        taken = 0

        def readable(self) -> bool:
            return True

        def readline(self, size: int | None = -1, /) -> bytes:
            assert size is not None
            assert 0 < size <= MAX_LINE + 1
            self.taken += 1
            return b'"' + b"x" * (size - 2) + b"\n" if self.taken > 1 else HEADER.encode()

    stream = Endless()
    with pytest.raises(RowsInvalid):
        list(read_rows(stream))  # type: ignore[arg-type]
    assert stream.taken < 100


@given(st.binary(max_size=200) | st.text('{}[]",:\n\rpayeamount张1.', max_size=80))
def test_any_bytes_are_read_or_refused_by_type(data: str | bytes) -> None:
    for text in (data, HEADER + data if isinstance(data, str) else HEADER.encode() + data):
        try:
            read(text)
        except RowsInvalid:
            continue
