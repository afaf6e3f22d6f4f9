"""Arrow's types: those that Parquet cannot store again, and those that Arrow reads but cannot filter."""

import base64
import functools
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

# Where Arrow keeps the types that Parquet's do not tell apart.
_ARROW_SCHEMA = "ARROW:schema"


def is_view(kind: pa.DataType) -> bool:
    return pa.types.is_string_view(kind) or pa.types.is_binary_view(kind)


def plain(kind: pa.DataType) -> pa.DataType:
    """The type with views of strings and bytes replaced by large strings and bytes, in lists and structs too.

    Maps stay as they are: Arrow 25 ends the process when it casts some that were filtered.

    >>> plain(pa.list_(pa.string_view()))
    ListType(list<item: large_string>)
    """
    if is_view(kind):
        return pa.large_string() if pa.types.is_string_view(kind) else pa.large_binary()
    if pa.types.is_struct(kind):
        return pa.struct([_plain_field(kind.field(at)) for at in range(kind.num_fields)])
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(_plain_field(kind.value_field), kind.list_size)
    if pa.types.is_list(kind):
        return pa.list_(_plain_field(kind.value_field))
    if pa.types.is_large_list(kind):
        return pa.large_list(_plain_field(kind.value_field))
    return kind


def _plain_field(field: pa.Field) -> pa.Field:
    return field.with_type(plain(field.type))


def chosen_rows(table: pa.Table, chosen: np.ndarray) -> pa.Table:
    """The rows of a table that a mask names, in `plain` types: Arrow 25 has no kernel that takes from views."""
    mask = pa.array(chosen)
    columns = [column.cast(plain(column.type)).filter(mask) for column in table.columns]
    # A table without columns has rows all the same, which from_arrays would forget.
    return pa.Table.from_arrays(columns, schema=plain_schema(table.schema)) if columns else table.filter(mask)


def plain_schema(schema: pa.Schema) -> pa.Schema:
    return pa.schema([_plain_field(field) for field in schema], metadata=schema.metadata)


def writer(target: Any, schema: pa.Schema) -> pq.ParquetWriter:
    """A file of tables in `plain` types, which has a schema's own types for those who read it.

    Arrow 25 writes no structs of views that have more than a few rows; as the file has it they are the same.
    """
    stored = plain_schema(schema)
    same = stored.equals(schema)
    file = pq.ParquetWriter(target, stored, compression="zstd", store_schema=same)
    if not same:
        file.add_key_value_metadata({_ARROW_SCHEMA: base64.b64encode(schema.serialize().to_pybytes())})
    return file


def check_writable(path: str, schema: pa.Schema) -> None:
    """Tries to filter and write no rows of every column: what a stage at the end of a run will do with all of them.

    Raises ValueError naming the file, the column and its type.
    """
    for field in schema:
        error = _fault(field)
        if error:
            raise ValueError(
                f"{path}: column {field.name!r} has type {field.type}, which cannot be written again: {error}"
            )


@functools.lru_cache(maxsize=1024)
def _fault(field: pa.Field) -> str:
    schema = pa.schema([field])
    table = pa.Table.from_arrays([pa.chunked_array([pa.array([], field.type)])], schema=schema)
    try:
        with writer(pa.BufferOutputStream(), schema) as file:
            file.write_table(chosen_rows(table, np.zeros(0, bool)))
    # Arrow reports bad types as OSErrors too.
    except (pa.ArrowException, OSError) as error:
        return str(error)
    return ""
