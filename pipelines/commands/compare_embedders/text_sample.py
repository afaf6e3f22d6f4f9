"""A few texts from all over a corpus, read without a run."""

from collections.abc import Sequence

import numpy as np

from sluice.transforms.corpus import reading
from sluice.transforms.documents.inventory import Inputs
from sluice.transforms.records.records import Fields

LEAST = 50
# Texts are taken evenly from the first so many times as are wanted of so many places of the corpus.
READ_AHEAD, PIECES = 10, 16
MOST_CHARACTERS = 200_000_000


def take_texts(paths: Sequence[str], kind: str | None, field: str, count: int) -> tuple[list[str], int, int]:
    """At most `count` texts from the beginnings of evenly spread units: (texts, units read, units).

    Raises ValueError for fewer than LEAST.
    """
    units = Inputs(tuple(paths), kind, 128 << 20).plan()
    chosen = [units[i] for i in np.unique(np.linspace(0, len(units) - 1, min(PIECES, len(units))).astype(int))]
    share, characters, texts = -(-count // max(len(chosen), 1)), 0, []
    for unit in chosen:
        here: list[str] = []
        for window in reading.read_unit(unit, Fields(field), on_unreadable="reject"):
            here += window.texts or []
            characters += sum(map(len, window.texts or ()))
            if len(here) >= READ_AHEAD * share or characters > MOST_CHARACTERS:
                break
        here = here[: READ_AHEAD * share]
        texts += [here[i] for i in np.unique(np.linspace(0, len(here) - 1, min(share, len(here))).astype(int))]
    if len(texts) < LEAST:
        raise ValueError(f"{len(texts)} texts were found in field {field!r}; {LEAST} are needed")
    return texts[:count], len(chosen), len(units)
