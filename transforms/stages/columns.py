"""Columns of parts as arrays, row-aligned with documents/; and which documents of a unit are still in."""

import numpy as np
import pyarrow as pa

from sluice.transforms.stages.artifacts import Artifact

KEEP = pa.schema([("keep", pa.bool_())])


def numbers(table: pa.Table, name: str, *, missing: float | np.integer | None = None) -> np.ndarray:
    """A column of numbers as an array [n], `missing` where it is null; without `missing`, NaN of a float column.

    >>> numbers(pa.table({"cluster": [7, None, 3]}), "cluster", missing=-1)
    array([ 7, -1,  3])
    """
    column = _whole(table[name])
    if missing is not None and column.null_count:
        column = column.fill_null(missing)
    return column.to_numpy(zero_copy_only=False)


def not_null(table: pa.Table, name: str) -> np.ndarray:
    """bool [n]: False where the column is null.

    >>> not_null(pa.table({"first_row": [None, 3]}), "first_row")
    array([False,  True])
    """
    return _whole(table[name]).is_valid().to_numpy(zero_copy_only=False)


def names_of(table: pa.Table, name: str) -> tuple[np.ndarray, list[str]]:
    """A column of strings as (int64 [n] places in a list of its names, that list); null is the place after the last.

    >>> names_of(pa.table({"source": ["web", None, "books", "web"]}), "source")
    (array([0, 2, 1, 0]), ['web', 'books'])
    """
    coded = _whole(table[name]).dictionary_encode()
    names = coded.dictionary.to_pylist()
    return coded.indices.fill_null(len(names)).to_numpy(zero_copy_only=False).astype(np.int64), names


def read_numbers(artifact: Artifact, unit: int, name: str, *, missing: float | np.integer | None = None) -> np.ndarray:
    """`numbers` of one column of a unit's part, read alone."""
    return numbers(artifact.read(unit, [name]), name, missing=missing)


def read_not_null(artifact: Artifact, unit: int, name: str) -> np.ndarray:
    """`not_null` of one column of a unit's part, read alone."""
    return not_null(artifact.read(unit, [name]), name)


def survivors(keep: Artifact | None, unit: int, rows: int) -> np.ndarray:
    """bool [rows]: True where a document is still in after the step that wrote `keep`; None: before any step."""
    if keep is None:
        return np.ones(rows, bool)
    mask = read_numbers(keep, unit, "keep")
    if len(mask) != rows:
        raise ValueError(f"{keep.url}: unit {unit} has {len(mask)} rows, documents has {rows}")
    return mask


def fixed_bytes(column: pa.ChunkedArray | pa.Array, dtype: np.dtype | str) -> np.ndarray:
    """A fixed-size binary column as an array of `dtype` items without a copy; rows that are null hold anything."""
    column = _whole(column)
    width = column.type.byte_width
    data = column.buffers()[1]
    if data is None or len(column) == 0:
        return np.empty((0, width), np.uint8).view(dtype)
    flat = np.frombuffer(data, np.uint8)[column.offset * width : (column.offset + len(column)) * width]
    return flat.reshape(len(column), width).view(dtype)


def to_fixed(array: np.ndarray, valid: np.ndarray | None = None) -> pa.Array:
    """Rows of an array -> a fixed-size binary column, null where not valid."""
    rows = np.ascontiguousarray(array)
    width = rows.dtype.itemsize * (rows.shape[1] if rows.ndim == 2 else 1)
    bitmap = None if valid is None or valid.all() else pa.py_buffer(np.packbits(valid, bitorder="little"))
    return pa.Array.from_buffers(pa.binary(width), len(rows), [bitmap, pa.py_buffer(rows)])


def _whole(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """A column as one array; one of a single chunk is not copied."""
    if isinstance(column, pa.Array):
        return column
    return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
