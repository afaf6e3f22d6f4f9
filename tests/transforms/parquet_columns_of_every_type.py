"""Columns of three rows, of every type that Parquet can hold, for tests that copy them."""

import base64
import uuid
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sluice.transforms.formats.parquet import arrow_types

UUIDS = [uuid.UUID(int=number).bytes for number in range(2)]
_TENSOR = pa.fixed_shape_tensor(pa.float32(), (2, 2))
_STRUCT = pa.struct([("a", pa.int64()), ("b", pa.struct([("c", pa.string_view())]))])

COLUMNS: dict[str, pa.Array] = {
    "string": pa.array(["a", "bb", None]),
    "large string": pa.array(["a", "bb", None], pa.large_string()),
    "string view": pa.array(["a", "bb" * 20, None], pa.string_view()),
    "binary view": pa.array([b"a", b"\xff" * 20, None], pa.binary_view()),
    "large binary": pa.array([b"a", b"\xff", None], pa.large_binary()),
    "dictionary of strings": pa.array(["a", "a", None]).dictionary_encode(),
    "narrow dictionary": pa.DictionaryArray.from_arrays(pa.array([0, 1, None], pa.int8()), pa.array(["a", "b"])),
    "dictionary of bytes": pa.array([b"a", b"a", None]).dictionary_encode(),
    "list": pa.array([[1, None], [], None]),
    "large list": pa.array([[1, None], [], None], pa.large_list(pa.int32())),
    "list view": pa.array([[1, None], [], None], pa.list_view(pa.int32())),
    "list of views": pa.array([["a", None], [], None], pa.list_(pa.string_view())),
    "list of one length": pa.array([[1.5, 2.5]] * 3, pa.list_(pa.float32(), 2)),
    "struct": pa.array([{"a": None, "b": {"c": "x"}}, {"a": 1, "b": None}, None], _STRUCT),
    "map": pa.array([[("a", 1)], [], None], pa.map_(pa.string(), pa.int32())),
    "uuid": pa.array([*UUIDS, None], pa.uuid()),
    "16 bytes": pa.array([*UUIDS, None], pa.binary(16)),
    "tensor": pa.ExtensionArray.from_storage(_TENSOR, pa.array([[1.0, 2.0, 3.0, 4.0]] * 3, pa.list_(pa.float32(), 4))),
    "json": pa.array(['{"a": 1}', "[]", None], pa.json_(pa.string())),
    "bool8": pa.ExtensionArray.from_storage(pa.bool8(), pa.array([1, 0, None], pa.int8())),
    "boolean": pa.array([True, False, None]),
    "decimal": pa.array([Decimal("1.50"), Decimal("-2.25"), None], pa.decimal128(5, 2)),
    "wide decimal": pa.array([Decimal(10**59), Decimal(-1), None], pa.decimal256(60, 0)),
    "unsigned": pa.array([2**64 - 1, 0, None], pa.uint64()),
    "half": pa.array(np.array([1, 2, 65504], np.float16)),
    "floats": pa.array([float("inf"), 1e300, None]),
    "far times": pa.array([datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59, 999999), None], pa.timestamp("us")),
    "beyond Python": pa.array([2**62, -(2**62), None], pa.timestamp("us")),
    "time zone": pa.array([datetime(2020, 1, 1, tzinfo=UTC)] * 3, pa.timestamp("us", "Mars/Phobos")),
    "nanoseconds": pa.array([1, 2**62, None], pa.timestamp("ns")),
    "date": pa.array([date(1, 1, 1), date(9999, 12, 31), None]),
    "time": pa.array([time(1, 2, 3, 4), None, None], pa.time64("us")),
    "duration": pa.array([timedelta(days=1), None, None], pa.duration("us")),
    "null": pa.nulls(3),
    "list of nulls": pa.array([[None], [], None], pa.list_(pa.null())),
}


def write(table: pa.Table, path: Path, rows: int, **options) -> None:
    """Row groups of so many rows. Arrow itself cannot write long structs of views, but what others wrote it reads."""
    plain = arrow_types.plain_schema(table.schema)
    with pq.ParquetWriter(path, plain, store_schema=False, **options) as file:
        file.write_table(pa.table([column.cast(kind) for column, kind in zip(table.columns, plain.types)], plain), rows)
        file.add_key_value_metadata({"ARROW:schema": base64.b64encode(table.schema.serialize().to_pybytes())})
