"""The kept rows of a unit written to Parquet: in order, in few files, with few of them open."""

import contextlib
from types import TracebackType

import pyarrow as pa

from sluice.transforms.formats.parquet import arrow_types
from sluice.transforms.formats.parquet.timestamps import leaves
from sluice.transforms.storage import committing

_ROW_GROUP_BYTES = 64 << 20
MOST_OPEN = 8


class Outputs:
    """Tables in, files out; a table whose columns differ from those of the table before begins another file.

    What is said of a table as a whole (pandas' index, a data set's features) makes no difference: the first table's
    stays. From the ninth file on, tables with the columns of one of the last eight go on in that, so that columns
    which alternate do not make a file each time; rows are then in order in each file, not from one to the next.
    The last files appear when the block ends without an error, those before them as they are full.
    """

    def __init__(self, stem: str, suffix: str):
        self._stem, self._suffix = stem, suffix
        self._open: list[_Writer] = []
        self.names: list[tuple[str, int]] = []

    def __enter__(self) -> "Outputs":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        stack = contextlib.ExitStack()
        for writer in reversed(self._open):
            stack.push(writer.__exit__)
        stack.__exit__(kind, error, trace)

    def add(self, table: pa.Table, schema: pa.Schema) -> None:
        """table: as parquet_types.chosen_rows gives it. schema: with the types it had, and what is said of it."""
        writer = self._writer(schema)
        writer.add(table)
        name, documents = self.names[writer.number]
        self.names[writer.number] = (name, documents + table.num_rows)
        if sum(writer.size for writer in self._open) >= _ROW_GROUP_BYTES:
            for writer in self._open:
                writer.flush()

    def _writer(self, schema: pa.Schema) -> "_Writer":
        usable = self._open[-1:] if len(self.names) < MOST_OPEN else self._open
        writer = next((writer for writer in reversed(usable) if writer.takes(schema)), None)
        if writer is not None:
            self._open.remove(writer)
        else:
            if len(self._open) == MOST_OPEN:
                self._open.pop(0).__exit__(None, None, None)
            number = len(self.names)
            url = f"{self._stem}{f'-{number}' if number else ''}{self._suffix}"
            writer = _Writer(url, schema, number)
            self.names.append((url.rpartition("/")[2], 0))
        self._open.append(writer)
        return writer


class _Writer:
    """One file; collects rows to row groups of a fair size. size: bytes that are not written yet."""

    def __init__(self, url: str, schema: pa.Schema, number: int):
        self.number = number
        self.size = 0
        self._columns = schema.remove_metadata()
        self._held: list[pa.Table] = []
        self._entries = _Entries()
        with contextlib.ExitStack() as stack:
            path = stack.enter_context(committing.create(url, replace=True))
            self._file = stack.enter_context(arrow_types.writer(path, schema))
            self._stack = stack.pop_all()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._stack.__exit__(kind, error, trace)
            return
        with self._stack:
            self.flush()

    def takes(self, schema: pa.Schema) -> bool:
        return self._columns.equals(schema.remove_metadata(), check_metadata=True)

    def add(self, table: pa.Table) -> None:
        if not self._entries.fit(table):
            self.flush()
            self._entries.fit(table)
        self._held.append(table)
        self.size += table.nbytes

    def flush(self) -> None:
        if self._held:
            table = pa.concat_tables(self._held)
            self._file.write_table(table, row_group_size=max(table.num_rows, 1))
        self._held, self.size, self._entries = [], 0, _Entries()


class _Entries:
    """Counts the entries of dictionaries with indices of 8 or 16 bits: a row group has one dictionary for all its rows,
    and cannot be read where that has more entries than the indices can name."""

    def __init__(self) -> None:
        self._counts: dict[tuple[int, int], int] = {}
        self._last: dict[tuple[int, int], pa.Array] = {}

    def fit(self, table: pa.Table) -> bool:
        fits = True
        for at, column in enumerate(table.columns):
            for chunk in column.chunks if _is_narrow(column.type) else ():
                for part, leaf in enumerate(leaves(chunk)):
                    if pa.types.is_dictionary(leaf.type):
                        fits &= self._count((at, part), leaf)
        return fits

    def _count(self, place: tuple[int, int], leaf: pa.DictionaryArray) -> bool:
        last = self._last.get(place)
        if last is None or not last.equals(leaf.dictionary):
            self._counts[place] = self._counts.get(place, 0) + len(leaf.dictionary)
            self._last[place] = leaf.dictionary
        bits = leaf.type.index_type.bit_width - pa.types.is_signed_integer(leaf.type.index_type)
        return self._counts[place] <= 1 << bits


def _is_narrow(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return kind.index_type.bit_width < 32
    return any(_is_narrow(kind.field(at).type) for at in range(kind.num_fields))
