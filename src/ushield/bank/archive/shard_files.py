"""Shards: Parquet files, read a thousand rows at a time and written whole or not at all."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from ushield.bank.archive.columns import check_schema
from ushield.bank.archive.errors import ShardInvalid
from ushield.bank.whole_files import part_of, sync_folder

__all__ = ["ShardWriter", "file_sha256", "open_shard"]

_BATCH_ROWS = 1000
_GROUP_ROWS = 16_000
_GROUP_BYTES = 1 << 24
_BUFFER = 1 << 20


def file_sha256(stream: IO[bytes]) -> str:
    """SHA-256 of a file that was just opened, in hexadecimal; it is left at its beginning."""
    digest = hashlib.sha256()
    while chunk := stream.read(_BUFFER):
        digest.update(chunk)
    stream.seek(0)
    return digest.hexdigest()


@contextmanager
def open_shard(stream: IO[bytes]) -> Iterator[Iterator[pa.RecordBatch]]:
    """The rows of a shard, a thousand at a time, whatever its size.

    `ShardInvalid` if it is no Parquet file, has other columns, or turns out to be broken on the
    way.
    """
    try:
        with pq.ParquetFile(stream, buffer_size=_BUFFER, pre_buffer=False) as file:
            check_schema(file.schema_arrow)
            yield file.iter_batches(batch_size=_BATCH_ROWS, use_threads=False)
    except pa.ArrowException as error:
        raise _broken(error) from error
    except OSError as error:
        # Arrow says so of data that cannot be decoded, too; only the system has numbers.
        if error.errno is None:
            raise _broken(error) from error
        raise


def _broken(error: Exception) -> ShardInvalid:
    first, _, _ = str(error).partition("\n")
    return ShardInvalid(f"not a Parquet file that can be read: {first}")


class ShardWriter:
    """A Parquet file in the making, which is dropped unless it is committed.

    `OSError` if the disk takes it not.
    """

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._path = path
        self._schema = schema
        self._waiting: list[pa.RecordBatch] = []
        self.rows = 0

    def __enter__(self) -> Self:
        self._part = part_of(self._path)
        self._stream: IO[bytes] = self._part.open("xb")
        try:
            self._writer: Any = pq.ParquetWriter(self._stream, self._schema, compression="zstd")
        except BaseException:
            self._stream.close()
            self._part.unlink()
            raise
        return self

    def write(self, batch: pa.RecordBatch) -> None:
        """Append rows."""
        self._waiting.append(batch)
        self.rows += batch.num_rows
        if (
            sum(each.num_rows for each in self._waiting) >= _GROUP_ROWS
            or sum(each.nbytes for each in self._waiting) >= _GROUP_BYTES
        ):
            self._flush()

    def commit(self, metadata: Mapping[str, str] | None = None) -> None:
        """Give the file its name; it is on the disk when this returns."""
        self._flush()
        if metadata:
            self._writer.add_key_value_metadata(dict(metadata))
        self._writer.close()
        self._stream.flush()
        os.fsync(self._stream.fileno())
        self._stream.close()
        self._part.replace(self._path)
        sync_folder(self._path.parent)

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # Closing writes once more, which a full disk refuses again.
        with suppress(OSError, pa.ArrowException):
            self._writer.close()
        with suppress(OSError):
            self._stream.close()
        with suppress(FileNotFoundError):
            self._part.unlink()

    def _flush(self) -> None:
        if self._waiting:
            table = pa.Table.from_batches(self._waiting, self._schema)
            self._waiting = []
            self._writer.write_table(table, row_group_size=table.num_rows)
