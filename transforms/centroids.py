"""Training: a sample of the documents still in -> centroids/, made by one worker."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa

from sluice.models import assign, kmeans
from sluice.models.hashing import seeded
from sluice.models.parallel import parallel
from sluice.models.vectors import coarse
from sluice.transforms import memory, progress, storage
from sluice.transforms.artifacts import Artifact, Part
from sluice.transforms.records import Unit
from sluice.transforms.stages import Commit, ReadUnits, WriteUnit
from sluice.transforms.survivors import fixed_bytes, survivors, to_fixed

SAMPLE_ROWS = 1024


@dataclass(frozen=True)
class Members:
    """What a clustering is made of: the documents still in, of equal vectors only the first if `copies` is given."""

    documents: Artifact
    embeddings: Artifact
    keep: Artifact | None
    copies: Artifact | None = None

    def alive(self, unit: int) -> np.ndarray:
        """bool [rows of documents/]: still in."""
        return survivors(self.keep, unit, self.documents.part(unit)["rows"])

    def representatives(self, unit: int) -> np.ndarray:
        """bool [rows of documents/]: still in, and no copy of an earlier one."""
        alive = self.alive(unit)
        if self.copies is not None:
            alive &= self.copies.read(unit, ["first_row"])["first_row"].combine_chunks().is_null().to_numpy(False)
        return alive


@dataclass(frozen=True)
class Training:
    """k clusters from about `sample` of `population` documents; `method` as models.assign.METHODS."""

    k: int
    sample: int
    population: int
    seed: int
    purpose: str
    iterations: int = 20
    method: str = "auto"


class WriteSample(WriteUnit):
    """Unit -> the vectors that the sample takes from it: those whose seeded hash falls below sample / population."""

    def __init__(self, target: Artifact, members: Members, training: Training):
        super().__init__(target)
        self.members, self.training = members, training

    def write(self, unit: Unit) -> None:
        chosen = self.members.representatives(unit.id)
        ids = fixed_bytes(self.members.documents.read(unit.id, ["id_hash"])["id_hash"], "V16")
        ticket = seeded(ids, self.training.seed, f"sample:{self.training.purpose}")
        share = self.training.sample / max(self.training.population, 1)
        if share < 1:
            chosen &= ticket < np.uint64(int(share * 2**64))
        stats = {"sampled": int(chosen.sum())}
        self.target.write(unit.id, self._tables(unit, chosen, ticket), self._schema(unit), stats)

    def _schema(self, unit: Unit) -> pa.Schema:
        vector = self.members.embeddings.read(unit.id, ["vector"]).schema.field("vector").type
        return pa.schema([("vector", vector), ("ticket", pa.uint64())])

    def _tables(self, unit: Unit, chosen: np.ndarray, ticket: np.ndarray) -> Iterator[pa.Table]:
        start = 0
        for batch in self.members.embeddings.windows(unit.id, ["vector"], 16384):
            stop = start + len(batch)
            here = np.flatnonzero(chosen[start:stop])
            found = fixed_bytes(batch.column(0), "<i2")[here]
            yield pa.table([to_fixed(found), pa.array(ticket[start:stop][here])], names=["vector", "ticket"])
            progress.add(self.stage, len(batch))
            start = stop


def read_sample(artifact: Artifact, parts: Iterable[Part]) -> np.ndarray:
    """The sampled vectors of all parts as float32 whole numbers [m, d], in the order of their tickets."""
    tables = []
    for part in sorted(parts, key=lambda part: part.unit):
        with storage.local_copy(artifact.path(part.unit)) as path:
            tables.append(pa.parquet.read_table(path))  # type: ignore[attr-defined]
    tables = [table for table in tables if len(table)]
    order = np.argsort(np.concatenate([table["ticket"].to_numpy() for table in tables]), kind="stable")
    stored = np.concatenate([fixed_bytes(table["vector"], "<i2") for table in tables])
    del tables
    points = np.empty(stored.shape, np.float32)

    def fill(start: int) -> None:
        rows = order[start : start + SAMPLE_ROWS]
        points[start : start + SAMPLE_ROWS] = coarse(stored[rows])

    for _ in parallel(fill, range(0, len(order), SAMPLE_ROWS)):
        pass
    return points


class TrainCentroids(beam.DoFn):
    """All sample parts -> the centroids' files, and the totals that go into the manifest."""

    def __init__(self, target: Artifact, training: Training):
        self.target, self.training = target, training

    def process(self, group: tuple[int, Iterable[Part]]) -> Iterator[dict[str, Any]]:
        points = read_sample(self.target, group[1])
        found = kmeans.train(points, self.training.k, iterations=self.training.iterations)
        save_array(self.target, "centroids", found.centroids.astype(np.int16))
        method = assign.choose_method(self.training.method, len(found.centroids))
        if method == "scann":
            with storage.create(self.target.file("index", ".tar")) as path:
                assign.build_index(found.centroids, path)
        report = {
            "k": len(found.centroids),
            "dimension": int(points.shape[1]),
            "method": method,
            "sample": len(points),
            "iterations": found.iterations,
            "objective": found.objective,
            "imbalance_of_sample": found.imbalance,
            "empty_clusters_refilled": found.splits,
        }
        yield {"folder": self.target.url, "totals": report}


def save_array(artifact: Artifact, name: str, array: np.ndarray) -> None:
    with storage.create(artifact.file(name, ".npy")) as path, open(path, "wb") as file:
        np.save(file, array, allow_pickle=False)


def load_array(artifact: Artifact, name: str) -> np.ndarray:
    """An array of a finished artifact, copied into memory."""
    with storage.local_copy(artifact.file(name, ".npy")) as path:
        return np.load(path, allow_pickle=False)


@dataclass
class MakeCentroids(beam.PTransform):
    """pipeline -> centroids/: the sample's parts, centroids.npy (int16 whole numbers at scale 4064) and a manifest."""

    inventory: Artifact
    members: Members
    centroids: Artifact
    training: Training
    units: int
    config: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__()

    @property
    def worker_memory(self) -> int:
        """Bytes that the worker that trains needs, as transforms.memory counts them; the embeddings are finished."""
        return memory.training(
            sample=self.training.sample,
            dimension=self.members.embeddings.manifest["totals"]["max_dimension"],
            k=self.training.k,
        )

    def expand(self, pipeline: beam.Pipeline) -> beam.PCollection:
        parts = (
            pipeline
            | ReadUnits(self.inventory)
            | "Sample" >> beam.ParDo(WriteSample(self.centroids, self.members, self.training))
        )
        totals = (
            parts
            | "ToTrainer" >> beam.Map(lambda part: (0, part)).with_output_types(tuple[int, Part])
            | "GatherSample" >> beam.GroupByKey()
            | "Train" >> beam.ParDo(TrainCentroids(self.centroids, self.training))
        )
        config = json.loads(json.dumps({**asdict(self.training), **self.config}))
        both = (parts, totals) | "PartsAndTotals" >> beam.Flatten()
        return both | Commit(artifacts=(self.centroids,), expected=self.units, config=config)
