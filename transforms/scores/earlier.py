"""Documents of earlier runs, as steps that compare with them read them."""

from dataclasses import dataclass

from sluice.transforms.clusters.members import Members
from sluice.transforms.stages.artifacts import Artifact

# Columns of scores/ beside the usual ones: the number of the earlier run, and the document there.
COLUMNS = {"reference_run": "run", "reference_unit": "run_unit", "reference_row": "run_row"}


@dataclass(frozen=True)
class Earlier:
    """The sorted vectors of an earlier run, and, where they are not only of the documents it kept, which those are."""

    clusters: Artifact
    kept: Members | None = None

    @property
    def inputs(self) -> tuple[Artifact, ...]:
        """What decides which vectors count."""
        keep = None if self.kept is None else self.kept.keep
        return (self.clusters,) if keep is None else (self.clusters, keep)
