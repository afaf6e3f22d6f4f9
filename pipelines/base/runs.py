"""What steps know of runs: the run that they are a step of, and finished ones. pipelines/run has the classes."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from sluice.transforms import storage
from sluice.transforms.clusters.members import Members
from sluice.transforms.records.records import Fields
from sluice.transforms.scores.earlier import Earlier
from sluice.transforms.stages.artifacts import Artifact, Maker
from sluice.transforms.stages.manifests import digest_of


def keyed(url: str, folder: str, maker: type[Maker], config: Any, *inputs: Artifact | None) -> Artifact:
    """The artifact in a folder of the run directory `url`, as it must be: `config` says how it is made, of what.

    Its key is a digest of the maker's version, the configuration and the content of the inputs, so it changes with each
    of them and with nothing else.
    """
    digests = [None if one is None else one.digest for one in inputs]
    return Artifact(storage.join(url, folder), digest_of([maker.version, folder, config, digests]))


class FinishedRun(Protocol):
    """A run directory as it is on disk."""

    @property
    def url(self) -> str: ...

    @property
    def recipe(self) -> Any: ...

    @property
    def steps(self) -> list[str]:
        """The steps' names in order, as 02-semdedup."""
        ...

    def open(self, url: str) -> "FinishedRun":
        """Another run. Raises FileNotFoundError."""
        ...

    @property
    def all_options(self) -> Sequence[Any]:
        """The steps of the recipe that `steps` are named after."""
        ...

    def options(self, name: str) -> Any:
        """A step of the recipe by name."""
        ...

    def find(self, folder: str) -> Artifact | None:
        """What is in a folder, or None where that is not finished."""
        ...

    def artifact(self, folder: str) -> Artifact:
        """What is in a folder. Raises FileNotFoundError where that is not finished."""
        ...

    def centroids(self, name: str) -> Artifact:
        """What the documents of a step over clusters were assigned to in the end."""
        ...

    def texts(self, wanted: Iterable[tuple[int, int]]) -> Mapping[tuple[int, int], Any]:
        """Documents by (unit, row): each has id, text and problem."""
        ...


class CurrentRun(Protocol):
    """The run that a step belongs to, as its recipe says that it should be."""

    @property
    def url(self) -> str: ...

    @property
    def recipe(self) -> Any: ...

    @property
    def fields(self) -> Fields:
        """What is read of the input's records."""
        ...

    @property
    def embedder(self) -> Any:
        """How texts are embedded; None where vectors are given."""
        ...

    @property
    def embedding_recipe(self) -> dict[str, Any]:
        """What vectors depend on: equal ones can be compared."""
        ...

    @property
    def inventory(self) -> Artifact: ...

    @property
    def documents(self) -> Artifact: ...

    def artifact(self, folder: str, maker: type[Maker], config: Any, *inputs: Artifact | None) -> Artifact:
        """As `keyed`, in this run."""
        ...

    def open(self, url: str) -> FinishedRun:
        """Another run. Raises FileNotFoundError."""
        ...

    def centroids_at(self, url: str, step: str) -> Artifact:
        """Those of another run, of a step of the kind `step`. Raises UnfitCentroids."""
        ...

    def assigned_in(
        self, run: FinishedRun, kept: Members, *, adopted: str, among: Sequence[FinishedRun]
    ) -> Earlier | None:
        """The documents that `run` kept, where they are assigned to those centroids already; None: nowhere."""
        ...
