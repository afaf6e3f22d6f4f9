"""A run directory as it is on disk: its recipe, and its artifacts by folder, whatever keys they have."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import yaml

from sluice.pipelines.base.layout import Slot
from sluice.pipelines.base.step import Step
from sluice.pipelines.recipe import plain_yaml
from sluice.pipelines.recipe.recipe import Recipe
from sluice.pipelines.run.embedded import with_embedded
from sluice.transforms import storage
from sluice.transforms.audit.views import AuditedStep
from sluice.transforms.corpus import reading
from sluice.transforms.records.records import Fields, Unit
from sluice.transforms.stages.artifacts import Artifact
from sluice.transforms.stages.manifests import find_manifest
from sluice.transforms.stages.units import read_units
from sluice.transforms.storage.streams import UnreadableFile

RECIPE = "recipe.yaml"
# Reading a text means reading its unit up to it, so a page of examples must not name every unit of a large corpus.
MOST_UNITS = 32
WINDOW = 65536
Address = tuple[int, int]


@dataclass(frozen=True)
class Text:
    """A document as it is in the input; text is None where there is none, `problem` says why it could not be read."""

    id: str | None
    text: str | None
    problem: str | None = None


class Finished:
    """Opens what is finished in a run directory; raises FileNotFoundError, saying what is missing, for what is not."""

    def __init__(self, url: str):
        self.url = url.rstrip("/")
        self.recipe = read_recipe(self.url)
        embeddings = self.find("embeddings")
        if embeddings is not None and embeddings.manifest["totals"].get("without_vector"):
            self._named = with_embedded(self.recipe.steps)
        else:
            self._named = [(f"{number:02d}-{step.step}", step) for number, step in enumerate(self.recipe.steps, 1)]

    def open(self, url: str) -> "Finished":
        """Another run."""
        return Finished(url)

    def find(self, folder: str) -> Artifact | None:
        """The artifact in a folder of the run, or None when it is not finished."""
        url = storage.join(self.url, folder)
        manifest = find_manifest(url)
        return None if manifest is None else Artifact(url, manifest["key"])

    def artifact(self, folder: str) -> Artifact:
        found = self.find(folder)
        if found is None:
            raise FileNotFoundError(f"{self.url}: {folder} is not finished; `sluice status {self.url}` shows what is")
        return found

    @property
    def steps(self) -> list[str]:
        """The steps' names in order, as 02-semdedup; `embedded` among them where documents have no vector."""
        return [name for name, _ in self._named]

    @property
    def all_options(self) -> list[Step]:
        """What `steps` are named after, in the same order."""
        return [step for _, step in self._named]

    def options(self, name: str) -> Step:
        """A step of the recipe by name. Raises ValueError when there is none."""
        if name not in self.steps:
            raise ValueError(f"{self.url} has no step {name}; its steps are {', '.join(self.steps)}")
        return self.all_options[self.steps.index(name)]

    def slots(self, name: str) -> tuple[Slot, ...]:
        """The stages of a step that this run has, as far as finished ones tell."""
        return self.options(name).needed(lambda folder: self.find(f"steps/{name}/{folder}"))

    def last(self, name: str, kind: str) -> str:
        """The folder of a step's last centroids or clusters: refined and split, where they are."""
        folders = [slot.folder for slot in self.slots(name) if slot.folder.rpartition("/")[2] == kind]
        return f"steps/{name}/{folders[-1]}"

    def centroids(self, name: str) -> Artifact:
        """What the documents of a step over clusters were assigned to in the end."""
        return self.artifact(self.last(name, "centroids"))

    def clusters(self, name: str) -> Artifact:
        """The last assignment of a step over clusters."""
        return self.artifact(self.last(name, "clusters"))

    def step(self, name: str) -> AuditedStep:
        """A finished step, with the last of its clusterings."""
        clustered = self.options(name).over_clusters
        return AuditedStep(
            name,
            scores=self.artifact(f"steps/{name}/scores"),
            keep=self.artifact(f"steps/{name}/keep"),
            centroids=self.centroids(name) if clustered else None,
            clusters=self.clusters(name) if clustered else None,
            copies=self.find(f"steps/{name}/copies"),
        )

    # Texts ------------------------------------------------------------------------------------------------------

    @property
    def fields(self) -> Fields:
        """What is needed of a record to show it. Rows count rejects, so which records are valid does not matter."""
        source = self.recipe.input
        return Fields(source.text, source.id, None, (), source.max_document_bytes)

    def texts(self, wanted: Iterable[Address], *, most_units: int = MOST_UNITS) -> dict[Address, Text]:
        """Documents by address, each unit read once, as far as needed; addresses wanted first go before later ones.

        What cannot be read, because the input changed or is gone, has a `problem` instead of a text.
        """
        rows: dict[int, list[int]] = {}
        found: dict[Address, Text] = {}
        for unit, row in wanted:
            if unit in rows or len(rows) < most_units:
                rows.setdefault(unit, []).append(row)
            else:
                found[unit, row] = Text(None, None, "not read: its unit is one too many for this page")
        if rows and self.recipe.input.text is None:
            documents = self.artifact("documents")
            return found | {at: Text(name, None) for unit in rows for at, name in ids_in(documents, unit, rows[unit])}
        units = {unit.id: unit for unit in read_units(self.artifact("inventory"))} if rows else {}
        for unit, chosen in rows.items():
            found |= self._texts_of(units[unit], set(chosen))
        return found

    def _texts_of(self, unit: Unit, left: set[int]) -> dict[Address, Text]:
        found: dict[Address, Text] = {}
        try:
            for window in reading.read_unit(unit, self.fields, on_unreadable=self.recipe.input.unreadable):
                places = {int(row): at for at, row in enumerate(window.rows) if row in left}
                for row, at in places.items():
                    found[unit.id, row] = Text(window.ids[at], None if window.texts is None else window.texts[at])
                left -= places.keys()
                if not left:
                    break
        except (reading.ChangedInput, UnreadableFile, OSError) as error:
            return found | {(unit.id, row): Text(None, None, str(error)) for row in left}
        return found | {(unit.id, row): Text(None, None, "the input has no such record any more") for row in left}


def read_recipe(url: str) -> Recipe:
    """The recipe of a run directory. Raises FileNotFoundError for any other place, ValueError for a damaged recipe."""
    place = storage.join(url, RECIPE)
    try:
        return Recipe.model_validate(plain_yaml.load(storage.read_bytes(place), most=plain_yaml.MOST_RECIPE_BYTES))
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(f"{url} is not a run directory: it has no {RECIPE}") from None
    except (yaml.YAMLError, ValueError) as error:
        raise ValueError(f"{place}: {error}") from error


def ids_in(documents: Artifact, unit: int, rows: list[int]) -> Iterator[tuple[Address, str]]:
    """The ids of some rows of a unit."""
    wanted = pa.array(sorted(set(rows)), pa.uint32())
    for batch in documents.windows(unit, ["row", "id"], WINDOW):
        found = batch.filter(pc.is_in(batch.column(0), value_set=wanted))
        for row, name in zip(found.column(0).to_pylist(), found.column(1).to_pylist()):
            yield (unit, row), name


def plain(value: Any) -> Any:
    """A value that JSON holds: not-a-number is null."""
    if isinstance(value, dict):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and value != value else value
