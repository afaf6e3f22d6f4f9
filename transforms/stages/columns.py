"""Which documents of a unit are still in: keep masks are cumulative and row-aligned with documents/."""

import numpy as np
import pyarrow as pa

from sluice.transforms.stages.artifacts import Artifact

KEEP = pa.schema([("keep", pa.bool_())])


def survivors(keep: Artifact | None, unit: int, rows: int) -> np.ndarray:
    """bool [rows]: True where a document is still in after the step that wrote `keep`; None: before any step."""
    if keep is None:
        return np.ones(rows, bool)
    mask = keep.read(unit)["keep"].to_numpy()
    if len(mask) != rows:
        raise ValueError(f"{keep.url}: unit {unit} has {len(mask)} rows, documents has {rows}")
    return mask


def fixed_bytes(column: pa.ChunkedArray | pa.Array, dtype: np.dtype | str) -> np.ndarray:
    """A fixed-size binary column as an array of `dtype` items without a copy; rows that are null hold anything."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
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
