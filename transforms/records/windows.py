"""Windows of records joined and cut again, in other sizes than they were read in."""

from collections.abc import Iterator

import numpy as np

from sluice.transforms.records.records import Window


def joined(windows: list[Window]) -> Window:
    """One window of some that follow each other; there must be one at least."""
    first = windows[0]
    if len(windows) == 1:
        return first
    # A window without valid rows may come before the length of the vectors is known.
    vectors = [window.vectors for window in windows if window.vectors is not None and len(window.vectors)]
    return Window(
        records=sum(window.records for window in windows),
        rows=np.concatenate([window.rows for window in windows]),
        ids=[value for window in windows for value in window.ids],
        texts=None if first.texts is None else [text for window in windows for text in window.texts or ()],
        columns={name: [value for window in windows for value in window.columns[name]] for name in first.columns},
        vectors=np.concatenate(vectors) if vectors else first.vectors,
        rejects=[reject for window in windows for reject in window.rejects],
        barren=[file for window in windows for file in window.barren],
    )


def regrouped(windows: Iterator[Window], *, documents: int, characters: int) -> Iterator[Window]:
    """The rows, texts and vectors of windows, so many documents or characters at a time, or somewhat more."""
    held: list[Window] = []
    rows = size = 0
    for window in windows:
        for start in range(0, max(len(window.rows), 1), documents):
            held.append(_slice(window, start, start + documents))
            rows += len(held[-1].rows)
            size += sum(map(len, held[-1].texts or ()))
            if rows >= documents or size >= characters:
                yield joined(held)
                held, rows, size = [], 0, 0
    if held:
        yield joined(held)


def _slice(window: Window, start: int, stop: int) -> Window:
    rows = window.rows[start:stop]
    return Window(
        records=len(rows),
        rows=rows,
        ids=[],
        texts=None if window.texts is None else window.texts[start:stop],
        vectors=None if window.vectors is None else window.vectors[start:stop],
    )
