"""Timestamps of 96 bits (Impala's and Spark's): Arrow reads them as nanoseconds, in which years 1678 to 2261 fit.

Others would come out as wrong times without a word, so the column is looked at first: where all fit they stay
nanoseconds, as everybody reads them, else they are microseconds.
"""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

_MOST_MICROSECONDS = (2**63 - 1) // 1000


def leaves(array: pa.Array) -> Iterator[pa.Array]:
    """The arrays of values in a column, whatever lists, structs and maps they are nested in."""
    kind = array.type
    if pa.types.is_struct(kind):
        for child in array.flatten():
            yield from leaves(child)
    elif pa.types.is_map(kind):
        yield from leaves(array.keys)
        yield from leaves(array.items)
    elif hasattr(kind, "value_type") and not pa.types.is_dictionary(kind) and hasattr(array, "flatten"):
        yield from leaves(array.flatten())
    else:
        yield array


def columns(file: pq.ParquetFile) -> list[str]:
    """The paths of columns that have timestamps of 96 bits."""
    kinds = [file.schema.column(index) for index in range(len(file.schema))]
    return [kind.path for kind in kinds if kind.physical_type == "INT96"]


def unit(micro: pq.ParquetFile, nano: pq.ParquetFile, groups: range) -> str:
    """ "ns" or "us": the finer unit that all timestamps of some row groups fit into.

    micro, nano: the same file, opened to read them in either. Raises ValueError where neither holds all.
    """
    names = columns(micro)
    fits = exact = True
    for group in groups:
        read = [file.iter_batches(row_groups=[group], columns=names, use_threads=False) for file in (micro, nano)]
        for coarse, fine in zip(*read, strict=True):
            for column, finer in zip(coarse.columns, fine.columns, strict=True):
                for some, same in zip(leaves(column), leaves(finer), strict=True):
                    if not pa.types.is_timestamp(some.type):
                        continue
                    values = some.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
                    near = np.abs(values) < _MOST_MICROSECONDS
                    parts = same.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)[near] % 1000
                    fits &= bool(near.all())
                    exact &= not parts.any()
    if not fits and not exact:
        raise ValueError(f"column {names[0]!r} has nanoseconds and years outside of 1678 to 2261: no type holds both")
    return "ns" if fits else "us"
