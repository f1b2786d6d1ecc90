"""Heads to a file that leaves the house: one line each, appended, whole or not at all."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from sqlalchemy import Connection, select

from ushield.bank.audit.heads import SignedHead, read_heads
from ushield.bank.errors import AuditBroken, StoreBusy
from ushield.bank.store.store import Store
from ushield.bank.store.tables import audit_head
from ushield.errors import InputInvalid

__all__ = ["LONGEST_FILE", "export_heads", "heads_after"]

LONGEST_FILE = 1 << 28
"""Bytes of a file of heads."""


def heads_after(connection: Connection, number: int, most: int | None = None) -> list[SignedHead]:
    """The heads after the one of that number, in their order; the first ``most`` of them."""
    rows = connection.execute(
        select(audit_head)
        .where(audit_head.c.number > number)
        .order_by(audit_head.c.number)
        .limit(most)
    )
    return [SignedHead.of_row(row) for row in rows]


def export_heads(store: Store, path: str | Path) -> int:
    """Append the heads that ``path`` does not have yet; how many those were.

    A line that a crash cut off is written anew. `AuditBroken` if the file's last head is not the
    database's, which then was restored, or tampered with; `InputInvalid` for another file.
    """
    try:
        with Path(path).open("a+b") as stream:
            # Two exporters at once would append the same lines.
            fcntl.flock(stream.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            stream.seek(0)
            data = stream.read(LONGEST_FILE + 1)
            if len(data) > LONGEST_FILE:
                raise InputInvalid(
                    f"{path}: longer than {LONGEST_FILE} bytes", remedy="Begin another file."
                )
            text = data.decode("ascii", "replace")
            known = read_heads(text)
            stream.truncate(len(data[: data.rfind(b"\n") + 1]))
            last = known[-1] if known else None
            missing = store.read(lambda connection: _following(connection, last))
            stream.write("".join(head.to_line() + "\n" for head in missing).encode("ascii"))
            stream.flush()
            os.fsync(stream.fileno())
    except BlockingIOError as error:
        raise StoreBusy(f"{path}: another process is exporting to it") from error
    except OSError as error:
        raise InputInvalid(f"{path}: {error.strerror}") from error
    return len(missing)


def _following(connection: Connection, last: SignedHead | None) -> list[SignedHead]:
    if last is None:
        return heads_after(connection, 0)
    here = heads_after(connection, last.number - 1)
    if not here or here[0].digest != last.digest:
        raise AuditBroken(
            f"head {last.number} was exported, but is not in the database",
            fault="changed" if here else "truncated",
            sequence=last.first,
        )
    return here[1:]
