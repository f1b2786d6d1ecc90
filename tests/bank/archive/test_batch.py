"""A row that is broken has its reason, and the others theirs."""

from __future__ import annotations

from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

import pyarrow as pa
import pytest

from tests.bank.archive.making import JOB, Archivist, Row, batch
from tests.pki import NOW, YEAR, Signer
from ushield.bank.archive import HOLDS, ShardInvalid, verify_batch
from ushield.bank.archive.columns import OUTCOME_SCHEMA, SHARD_SCHEMA

GOOD, OTHER = Archivist().rows(2)
VERIFIER = JOB.verifier()


def judged(*rows: Row) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = verify_batch(batch(rows), VERIFIER).to_pylist()
    return found


def test_a_row_that_holds_says_what_was_verified_at_which_time() -> None:
    archivist = Archivist()
    row = archivist.row()
    assert row.signature is not None
    (found,) = judged(row)
    assert found == {
        "record_id": row.record_id,
        "outcome": HOLDS,
        "detail": None,
        "verified_at": row.signed_at,
        "signature_sha256": sha256(row.signature).digest(),
        "certificate_sha256": sha256(archivist.signer.der).digest(),
    }


def damaged(data: bytes | None) -> bytes:
    assert data is not None
    return data[:-1] + bytes([data[-1] ^ 1])


@pytest.mark.parametrize(
    ("row", "outcome"),
    [
        (GOOD.but(signature=damaged(GOOD.signature)), "signature-invalid"),
        (GOOD.but(signature=b"\x30\x80nonsense"), "not-der"),
        (GOOD.but(signature=b""), "not-der"),
        (GOOD.but(signature=b"\x30" * 40_000), "too-large"),
        (GOOD.but(signature=OTHER.signature), "challenge-mismatch"),
        (GOOD.but(signature=OTHER.signature, challenge=None), "content-mismatch"),
        (GOOD.but(message=b""), "content-mismatch"),
        (GOOD.but(signed_at=NOW + 2 * YEAR), "certificate-expired"),
        (GOOD.but(signed_at=NOW - 2 * YEAR), "certificate-not-yet-valid"),
        (GOOD.but(signed_at=None), "row-incomplete"),
        (GOOD.but(signature=None), "row-incomplete"),
        (GOOD.but(record_id=None), "row-incomplete"),
        (Archivist(Signer.issued(issuer="Stranger")).row(), "issuer-unknown"),
    ],
)
def test_a_broken_row_gives_its_reason_and_its_neighbours_hold(row: Row, outcome: str) -> None:
    before, found, after = judged(GOOD, row, OTHER)
    assert (before["outcome"], found["outcome"], after["outcome"]) == (HOLDS, outcome, HOLDS)
    assert found["detail"]


def test_optional_columns_may_be_null_or_missing() -> None:
    swapped = GOOD.but(signature=OTHER.signature)
    assert judged(swapped.but(challenge=None, message=None))[0]["outcome"] == HOLDS
    found = verify_batch(batch([swapped], without=("challenge", "message")), VERIFIER)
    assert found.column("outcome").to_pylist() == [HOLDS]


def test_a_signer_whose_signature_does_not_hold_is_named_all_the_same() -> None:
    archivist = Archivist()
    row = archivist.row().but(signed_at=NOW + 2 * YEAR)
    assert judged(row)[0]["certificate_sha256"] == sha256(archivist.signer.der).digest()


def replaced(name: str, column: pa.Array) -> pa.RecordBatch:
    good = batch([GOOD])
    columns = [column if each == name else good.column(each) for each in good.schema.names]
    return pa.RecordBatch.from_arrays(columns, schema=good.schema)


@pytest.mark.parametrize("name", ["record_id", "challenge"])
def test_text_that_is_none_makes_its_row_unreadable(name: str) -> None:
    text = pa.array([b"\xff\xfe"], pa.binary()).view(pa.string())
    (found,) = verify_batch(replaced(name, text), VERIFIER).to_pylist()
    assert found["outcome"] == "row-unreadable"
    assert found["record_id"] == ("\\xff\\xfe" if name == "record_id" else GOOD.record_id)


def test_a_time_that_no_calendar_has_makes_its_row_unreadable() -> None:
    time = pa.array([1 << 62], pa.int64()).cast(pa.timestamp("us", tz="UTC"))
    found = verify_batch(replaced("signed_at", time), VERIFIER)
    assert found.column("outcome").to_pylist() == ["row-unreadable"]


class Surprised:
    """A verifier with a fault in it."""

    def verify_either(self, signature: bytes, at: datetime) -> Any:
        raise ZeroDivisionError("half a \ud800 character")


def test_an_error_that_nobody_thought_of_is_an_outcome_and_no_good_one() -> None:
    (found,) = verify_batch(batch([GOOD]), Surprised()).to_pylist()
    assert found["outcome"] == "row-unexpected"
    assert found["detail"] == "ZeroDivisionError: half a \\ud800 character"


def test_no_rows_have_no_outcomes() -> None:
    found = verify_batch(batch([]), VERIFIER)
    assert found.num_rows == 0
    assert found.schema == OUTCOME_SCHEMA


def changed(name: str, kind: pa.DataType) -> pa.Schema:
    return pa.schema(
        [pa.field(each.name, kind if each.name == name else each.type) for each in SHARD_SCHEMA]
    )


@pytest.mark.parametrize(
    ("schema", "column"),
    [
        (SHARD_SCHEMA.remove(0), "record_id"),
        (SHARD_SCHEMA.remove(1), "signed_at"),
        (SHARD_SCHEMA.append(pa.field("mesage", pa.binary())), "mesage"),
        (SHARD_SCHEMA.append(pa.field("message", pa.binary())), "message"),
        (changed("signed_at", pa.timestamp("us")), "signed_at"),
        (changed("signed_at", pa.timestamp("ms", tz="UTC")), "signed_at"),
        (changed("signature", pa.string()), "signature"),
        (changed("message", pa.large_binary()), "message"),
    ],
)
def test_other_columns_are_refused_by_their_name(schema: pa.Schema, column: str) -> None:
    empty = pa.RecordBatch.from_arrays([pa.array([], each.type) for each in schema], schema=schema)
    with pytest.raises(ShardInvalid, match=column) as caught:
        verify_batch(empty, VERIFIER)
    assert caught.value.column == column


def test_the_order_of_columns_is_free() -> None:
    good = batch([GOOD])
    turned = good.select(list(reversed(good.schema.names)))
    assert verify_batch(turned, VERIFIER).column("outcome").to_pylist() == [HOLDS]


def test_each_row_is_verified_at_its_own_time() -> None:
    short = Archivist(Signer.issued(not_before=NOW, not_after=NOW + timedelta(hours=1)))
    rows = [short.row(NOW + timedelta(minutes=30 * number)) for number in range(4)]
    found = [each["outcome"] for each in judged(*rows)]
    assert found == [HOLDS, HOLDS, HOLDS, "certificate-expired"]
