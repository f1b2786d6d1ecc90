"""A piece of an archive in memory: Arrow in, Arrow out, each row with its outcome."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple, Protocol

import pyarrow as pa

from ushield.bank.archive.columns import OUTCOME_SCHEMA, check_schema
from ushield.bank.moments import instant
from ushield.bank.rejection import RejectionReason, TransactionRejected
from ushield.bank.revocation.sources import RevocationUnavailable
from ushield.cms.parsing import SignedDataInvalid, parse_signed_data

if TYPE_CHECKING:
    from ushield.bank.verified import BlindTransaction, VerifiedTransaction

__all__ = ["HOLDS", "RowFault", "RowVerifier", "verify_batch"]

HOLDS = "holds"
"""The outcome of a row whose signature holds. The others are a `RejectionReason` or `RowFault`."""

_LONGEST_DETAIL = 500


class RowFault(StrEnum):
    """Why a row was not verified at all."""

    INCOMPLETE = "row-incomplete"
    UNREADABLE = "row-unreadable"
    UNEXPECTED = "row-unexpected"


class RowVerifier(Protocol):
    """Tells whether a signature held at a time, such as `Verifier`."""

    def verify_either(
        self, signature: bytes, at: datetime
    ) -> VerifiedTransaction | BlindTransaction:
        """What ``signature`` says, if it held at ``at``; else `TransactionRejected`."""


class _Row(NamedTuple):
    record_id: bytes | None
    signed_at: int | None
    signature: bytes | None
    challenge: bytes | None
    message: bytes | None


class _Outcome(NamedTuple):
    outcome: str
    detail: str | None
    certificate: bytes | None


def verify_batch(batch: pa.RecordBatch, verifier: RowVerifier) -> pa.RecordBatch:
    """The outcome of each row of ``batch`` (`SHARD_SCHEMA`), in order (`OUTCOME_SCHEMA`).

    A row is verified at its own time. Whatever is wrong with one is its outcome and ends nothing.
    `ShardInvalid` for other columns; `RevocationUnavailable` if a list that was there before
    cannot be read any more.
    """
    check_schema(batch.schema)
    outcomes = [_verify(row, verifier) for row in _rows(batch)]
    signatures = batch.column("signature").to_pylist()
    columns = [
        _names(batch.column("record_id")),
        [each.outcome for each in outcomes],
        [each.detail for each in outcomes],
        batch.column("signed_at"),
        [None if each is None else sha256(each).digest() for each in signatures],
        [each.certificate and sha256(each.certificate).digest() for each in outcomes],
    ]
    arrays = [
        column if isinstance(column, pa.Array) else pa.array(column, type=field.type)
        for column, field in zip(columns, OUTCOME_SCHEMA, strict=True)
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=OUTCOME_SCHEMA)


def _rows(batch: pa.RecordBatch) -> Iterator[_Row]:
    absent = [None] * batch.num_rows
    columns = []
    for name in _Row._fields:
        if name not in batch.schema.names:
            columns.append(absent)
            continue
        column = batch.column(name)
        # Text that is none and times in the year 10000 make a row unreadable, not the batch.
        if name == "signed_at":
            column = column.view(pa.int64())
        elif pa.types.is_string(column.type):
            column = column.view(pa.binary())
        columns.append(column.to_pylist())
    return (_Row(*cells) for cells in zip(*columns, strict=True))


def _names(column: pa.Array) -> pa.Array | list[str | None]:
    try:
        column.validate(full=True)
    except pa.ArrowInvalid:
        cells = column.view(pa.binary()).to_pylist()
        return [each and each.decode("utf-8", "backslashreplace") for each in cells]
    return column


def _verify(row: _Row, verifier: RowVerifier) -> _Outcome:
    try:
        return _judge(row, verifier)
    except TransactionRejected as rejected:
        return _refused(row, rejected.reason.value, str(rejected))
    except (RevocationUnavailable, MemoryError):
        # Not the row's fault: others would get wrong outcomes by it.
        raise
    # One row that nobody thought of must not end the years that come after it.
    except Exception as error:  # noqa: BLE001
        return _refused(row, RowFault.UNEXPECTED.value, f"{type(error).__name__}: {error}")


def _judge(row: _Row, verifier: RowVerifier) -> _Outcome:
    if row.record_id is None or row.signed_at is None or row.signature is None:
        missing = next(name for name in _Row._fields if getattr(row, name) is None)
        return _Outcome(RowFault.INCOMPLETE.value, f"{missing} is null", None)
    try:
        at = instant(row.signed_at)
        challenge = None if row.challenge is None else row.challenge.decode()
        row.record_id.decode()
    except (OverflowError, UnicodeDecodeError) as error:
        return _refused(row, RowFault.UNREADABLE.value, str(error))
    verified = verifier.verify_either(row.signature, at)
    if challenge is not None and verified.message.challenge != challenge:
        raise TransactionRejected(
            "the signature is for another challenge", reason=RejectionReason.CHALLENGE_MISMATCH
        )
    if row.message is not None and verified.message.encoded != row.message:
        raise TransactionRejected(
            "what was signed is not the message of this row",
            reason=RejectionReason.CONTENT_MISMATCH,
        )
    return _Outcome(HOLDS, None, verified.certificate)


def _refused(row: _Row, outcome: str, detail: str) -> _Outcome:
    certificate = None
    if row.signature is not None:
        with suppress(SignedDataInvalid, ValueError):
            certificate = parse_signed_data(row.signature).certificate
    # Names in it may be anything, and Arrow takes no half of a surrogate pair.
    plain = detail[:_LONGEST_DETAIL].encode("utf-8", "backslashreplace").decode()
    return _Outcome(outcome, plain, certificate)
