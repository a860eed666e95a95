"""Worker-side functions for Spark: read a slice of a file, write a draft, aggregate a bucket.

No Spark import here; Arrow batches come in and go out.
"""

import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final
from uuid import uuid4

import polars as pl
import pyarrow as pa
from pyarrow import parquet

from data.errors import DeliveryError
from data.ingest.files import translate_source_errors
from data.ingest.mapping import MappedTable
from data.ingest.table_loader import Partition
from data.io.atomic import atomic_write
from features.activity.scan import Aggregation, TableScan

__all__ = [
    "ARROW_TYPES",
    "BATCH_ROWS",
    "BUCKET_SCHEMA",
    "DRAFTS_SCHEMA",
    "Slice",
    "aggregate_bucket",
    "read_slices",
    "serialize_partitions",
    "write_drafts",
]

BATCH_ROWS: Final = 100_000
_ROW_GROUP_SIZE: Final = 250_000
DRAFTS_SCHEMA: Final = pl.Schema({"file": pl.Int32(), "draft": pl.String()})
BUCKET_SCHEMA: Final = pl.Schema({"draft": pl.String()})
# Spark and Arrow types of each Polars type.
ARROW_TYPES: Final = {
    pl.Int32(): ("int", pa.int32()),
    pl.Int64(): ("bigint", pa.int64()),
    pl.Float64(): ("double", pa.float64()),
    pl.String(): ("string", pa.string()),
    pl.Datetime("us", "UTC"): ("timestamp", pa.timestamp("us", "UTC")),
}

# Partition position, first row, and number of rows (None: all).
Slice = tuple[int, int, int | None]


def serialize_partitions(partitions: Sequence[Partition]) -> list[bytes]:
    """Pickle each partition separately: a worker unpickles only those it reads."""
    return [pickle.dumps(partition) for partition in partitions]


def read_slices(
    numbers: Iterator[pa.RecordBatch],
    *,
    slices: Sequence[Slice],
    partitions: Sequence[bytes],
    select_rows: Callable[[MappedTable], pl.LazyFrame],
    schema: pl.Schema,
) -> Iterator[pa.RecordBatch]:
    """Read the slices of these numbers, on a worker."""
    for number in (number for batch in numbers for number in batch.column(0).to_pylist()):
        position, offset, size = slices[number]
        partition: Partition = pickle.loads(partitions[position])  # noqa: S301 - packed by us
        frame = partition.mapped.frame.slice(offset, size)
        selected = select_rows(replace(partition.mapped, frame=frame))
        batch_rows = selected.with_columns(file=pl.lit(position, pl.Int32))
        with translate_source_errors(f"events: {partition.name}"):
            for part in batch_rows.select(schema.names()).collect_batches(chunk_size=BATCH_ROWS):
                yield from _to_arrow(part, schema)


def _to_arrow(frame: pl.DataFrame, schema: pl.Schema) -> list[pa.RecordBatch]:
    arrow_schema = pa.schema([(name, ARROW_TYPES[dtype][1]) for name, dtype in schema.items()])
    batches: list[pa.RecordBatch] = (
        frame.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(arrow_schema).to_batches()
    )
    return batches


def write_drafts(
    batches: Iterator[pa.RecordBatch],
    *,
    files: Sequence[Path],
    schema: pl.Schema,
    copies: Mapping[int, int],
) -> Iterator[pa.RecordBatch]:
    """Write the rows of each file to a draft next to it, on a worker."""
    drafts: dict[int, _DraftWriter] = {}
    try:
        for batch in batches:
            rows = pl.DataFrame(pl.from_arrow(batch))
            for (position,), part in rows.partition_by("file", as_dict=True).items():
                if position not in drafts:
                    metadata = {"copies": str(copies.get(position, 0))}
                    drafts[position] = _DraftWriter(files[position], schema, metadata)
                drafts[position].add(part.select(schema.names()))
        for draft in drafts.values():
            draft.close()
    except BaseException as error:
        for draft in drafts.values():
            draft.discard()
        if isinstance(error, OSError):
            raise DeliveryError(
                f"{files[0].parent} cannot be written to by Spark's workers:"
                f" {error.strerror or error}; free some space or set another state folder."
            ) from error
        raise
    paths = {position: str(draft.path) for position, draft in drafts.items()}
    yield from _to_arrow(
        pl.DataFrame(list(paths.items()), schema=DRAFTS_SCHEMA, orient="row"), DRAFTS_SCHEMA
    )


def aggregate_bucket(
    batches: Iterator[pa.RecordBatch], *, rows: TableScan, aggregation: Aggregation, draft: Path
) -> Iterator[pa.RecordBatch]:
    """Aggregate a bucket of rows into a uniquely named file next to the draft, on a worker."""
    schema = pl.Schema(rows.schema)
    frames = [pl.DataFrame(pl.from_arrow(batch)).cast(schema) for batch in batches]
    if not frames:
        return
    file = draft.with_name(f"{draft.name}.{uuid4().hex}")
    atomic_write(file, aggregation(rows.apply_filters(pl.concat(frames).lazy())).write_parquet)
    yield from _to_arrow(pl.DataFrame({"draft": [str(file)]}), BUCKET_SCHEMA)


class _DraftWriter:
    """Writer of a draft table; a killed task leaves it under a name that is never read."""

    def __init__(self, file: Path, schema: pl.Schema, metadata: Mapping[str, str]) -> None:
        self.path = file.with_name(f".{file.name}.{uuid4().hex}.draft")
        self._schema, self._rows, self._held = schema, [pl.DataFrame(schema=schema)], 0
        file.parent.mkdir(parents=True, exist_ok=True)
        schema_types = self._rows[0].to_arrow().schema
        self._writer = parquet.ParquetWriter(
            self.path, schema_types.with_metadata(metadata), compression="zstd"
        )

    def add(self, rows: pl.DataFrame) -> None:
        """Buffer rows; write them when a row group is full."""
        self._rows.append(rows.cast(self._schema))
        self._held += rows.height
        if self._held >= _ROW_GROUP_SIZE:
            self._write()

    def close(self) -> None:
        self._write()
        self._writer.close()

    def discard(self) -> None:
        with suppress(OSError, pa.ArrowException):
            self._writer.close()
        with suppress(OSError):
            self.path.unlink()

    def _write(self) -> None:
        if self._held:
            self._writer.write_table(pl.concat(self._rows, rechunk=True).to_arrow())
        self._rows, self._held = [], 0
