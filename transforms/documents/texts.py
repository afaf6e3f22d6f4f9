"""The texts of documents still in, read again: steps that look at texts take them a window at a time."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from sluice.transforms.corpus import reading
from sluice.transforms.corpus.prefetch import ahead
from sluice.transforms.records.records import Fields, Unit
from sluice.transforms.stages.artifacts import Artifact
from sluice.transforms.stages.columns import read_numbers, survivors
from sluice.transforms.storage.damage import ArtifactError


@dataclass(frozen=True)
class Texts:
    """Where texts are, and whose are wanted: documents/, who is still in (None: everybody), how records are read."""

    documents: Artifact
    keep: Artifact | None
    fields: Fields
    on_unreadable: str = "fail"

    def windows(self, unit: Unit, wanted: np.ndarray | None = None) -> Iterator[tuple[np.ndarray, list[str]]]:
        """(bool [n], the texts where it is True), window after window; all n together are the rows of documents/.

        wanted: bool [rows of documents/], for fewer than are still in. Raises ArtifactError when the unit no longer has
        the records that it had, and all that transforms.corpus.reading.read_unit raises.
        """
        rows = read_numbers(self.documents, unit.id, "row")
        alive = survivors(self.keep, unit.id, len(rows))
        if wanted is not None:
            alive = alive & wanted
        position = 0
        with ahead(
            reading.read_unit(unit, replace(self.fields, columns=()), on_unreadable=self.on_unreadable)
        ) as all_of:
            for window in all_of:
                stop = position + len(window.rows)
                if not np.array_equal(rows[position:stop], window.rows):
                    raise ArtifactError(f"unit {unit.id} no longer has the records it had: was the input changed?")
                here = alive[position:stop]
                yield here, [text for text, wants in zip(window.texts or (), here) if wants]
                position = stop
        if position != len(rows):
            raise ArtifactError(f"unit {unit.id} has {position} valid records, it had {len(rows)}")
