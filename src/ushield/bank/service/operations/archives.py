"""Archives: what was accepted, given out as Parquet, and verified again."""

from __future__ import annotations

import json
from datetime import datetime
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from ushield.bank.archive.errors import ArchiveTooLarge, ShardInvalid
from ushield.bank.revocation.history import Knowledge
from ushield.bank.revocation.sources import RevocationUnavailable
from ushield.bank.service.clients import Role
from ushield.bank.service.errors import NotServed, RequestInvalid, Unexpected
from ushield.bank.service.json_schema import Schema, reference, text
from ushield.bank.service.operation import Answer, Call, Operation, served

if TYPE_CHECKING:
    from ushield.bank.archive import ArchiveReport, ShardFailure

__all__ = ["OPERATIONS"]

_AUDITOR = frozenset((Role.AUDITOR,))
_PARQUET = "application/vnd.apache.parquet"
_MAGIC = b"PAR1"
_LONGEST = 1 << 25
_MOST_ROWS = 10_000
_MOST_TOLD = 1000
_MEMORY = 1 << 30
_MARGIN = 30.0
_INSTANT: Schema = text(format="date-time", maxLength=40)


def _export(call: Call) -> Answer:
    _want_arrow()
    from ushield.bank.archive import export_archive

    times = {name: _instant(call, name) for name in ("since", "until")}
    with TemporaryDirectory(prefix="ushield-") as name:
        done = export_archive(
            call.bank.store,
            Path(name),
            rows_per_shard=_MOST_ROWS,
            most=_MOST_ROWS,
            within=call.seconds,
            **times,
        )
        headers = {"Ushield-Rows": str(done.rows), "Ushield-Erased": str(done.erased)}
        if not done.shards:
            return Answer(status=204, content=b"", headers=headers)
        content = b"".join(each.read_bytes() for each in done.shards)
    return Answer(content=content, media_type=_PARQUET, headers=headers)


def _verify(call: Call) -> Answer:
    job_by = served(call.backing.archive, "CAs that archives are verified by")
    _want_arrow()
    if not (call.body.startswith(_MAGIC) and call.body.endswith(_MAGIC)):
        raise ShardInvalid("not a Parquet file")
    from ushield.bank.archive import Shard, verify_archive
    from ushield.bank.archive.report import FAILED_ROWS

    job = job_by(Knowledge(call.parameters.get("knowledge", Knowledge.THEN)))
    with TemporaryDirectory(prefix="ushield-") as name:
        shard, outcomes = Path(name, "shard.parquet"), Path(name, "outcomes")
        shard.write_bytes(call.body)
        # In a process of its own: what the file unpacks to must not take this one's memory, nor
        # the signatures in it the others' time.
        report = verify_archive(
            [Shard(shard)],
            outcomes,
            job=job,
            workers=1,
            memory=_MEMORY,
            patience=max(call.seconds - _MARGIN, 1.0),
        )
        for failure in report.failed_shards.values():
            raise _error(failure)
        with (outcomes / FAILED_ROWS).open() as lines:
            failed = [_row(json.loads(line)) for line in islice(lines, _MOST_TOLD)]
    return Answer(body=_facts(report, failed))


def _want_arrow() -> None:
    if find_spec("pyarrow") is None:
        raise NotServed("this service has no pyarrow", remedy="pip install 'ushield[archive]'")


def _instant(call: Call, name: str) -> datetime | None:
    given = call.parameters.get(name)
    if given is None:
        return None
    try:
        found = datetime.fromisoformat(given)
    except ValueError:
        raise RequestInvalid(f"{name}: not a time", field=name) from None
    if found.utcoffset() is None:
        raise RequestInvalid(f"{name}: a time with its zone is due", field=name)
    return found


def _error(failure: ShardFailure) -> Exception:
    if failure.code == ShardInvalid.code:
        return ShardInvalid(failure.message)
    if failure.code == RevocationUnavailable.code:
        return RevocationUnavailable(failure.message)
    if failure.code == "worker-died":
        return ShardInvalid("it takes more memory to read than there is for it")
    return Unexpected(f"{failure.code}: {failure.message}")


def _row(found: dict[str, Any]) -> dict[str, Any]:
    return {name: found[name] for name in ("record_id", "outcome", "detail", "verified_at")}


def _facts(report: ArchiveReport, failed: list[dict[str, Any]]) -> dict[str, Any]:
    revocation = report.job.revocation
    return {
        "rows": report.rows,
        "failed_rows": report.failed_rows,
        "outcomes": dict(report.outcomes),
        "failed": failed,
        "revocation": None
        if revocation is None
        else {
            "lists": len(revocation.lists),
            "responses": len(revocation.statements),
            "ignored": len(revocation.ignored),
        },
    }


OPERATIONS = (
    Operation(
        name="archive",
        method="GET",
        path="/v1/archive",
        tag="archive",
        summary="What was accepted from `since` until before `until`, as a shard (Parquet) of at"
        " most 10,000 rows; 204 if there is nothing. The header `Ushield-Erased` counts what was"
        " left out, because its customer was erased.",
        handler=_export,
        roles=_AUDITOR,
        query={"since": _INSTANT, "until": _INSTANT},
        answers={200: _PARQUET, 204: None},
        errors=(ArchiveTooLarge, NotServed),
        is_long=True,
    ),
    Operation(
        name="verifyArchive",
        method="POST",
        path="/v1/archive/verifications",
        tag="archive",
        summary="Verify a shard again, each row at the time when it was accepted, by the"
        " revocation data of that time, or by what is known `now`.",
        handler=_verify,
        roles=_AUDITOR,
        raw=_PARQUET,
        longest=_LONGEST,
        query={"knowledge": {"enum": [each.value for each in Knowledge]}},
        answers={200: reference("ArchiveReport")},
        errors=(ShardInvalid, NotServed, RevocationUnavailable),
        is_long=True,
    ),
)
