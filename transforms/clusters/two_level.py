"""Training in two levels: centroids/ of more clusters than one worker can train, by as many workers as there are.

    sample parts -> the first level, by one worker -> every sampled vector goes to its cluster of the first level
                 -> each cluster's points, thinned to what a worker holds -> its share of the centroids -> all, in order

Vectors cross two shuffles, in blocks of bounded size, and no worker holds more than one training. The result is that
of models.clustering.two_level.train on the whole sample, whatever the workers, bundles and parts.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import apache_beam as beam
import numpy as np

from sluice.models.arrays.products import nearest
from sluice.models.arrays.vectors import coarse
from sluice.models.clustering import kmeans
from sluice.models.clustering.two_level import Levels, Share, apportion, join
from sluice.transforms.clusters.blocks import BLOCK_BYTES, cut, gather, read_blocks, windows
from sluice.transforms.clusters.centroids import Training, WriteSample, save_clustering
from sluice.transforms.clusters.members import Members, load_array, save_array
from sluice.transforms.records.records import Unit
from sluice.transforms.stages import memory
from sluice.transforms.stages.artifacts import Artifact, Part
from sluice.transforms.stages.stage import StageTransform
from sluice.transforms.storage import sealed

# How many standard deviations more than wanted are sent to the first level; only the first ones are taken.
SPARE = 8


class SendToFirst(beam.DoFn):
    """Sample part -> (0, blocks of the records that the first level may be trained on)."""

    def __init__(self, target: Artifact, training: Training, levels: Levels):
        self.target = target
        wanted = levels.first_sample
        share = training.share(wanted + SPARE * int(wanted**0.5 + 1))
        self.below = None if share >= min(training.share(training.sample), 1) else np.uint64(int(share * 2**64))

    def process(self, part: Part) -> Iterator[tuple[int, bytes]]:
        for records in read_blocks(self.target, part.unit):
            chosen = records if self.below is None else records[records["ticket"] < self.below]
            for block in cut(chosen):
                yield 0, block


class TrainFirst(beam.DoFn):
    """All records for the first level -> first.npy (int16 [first, d]); yields how many clusters it has."""

    def __init__(self, target: Artifact, training: Training, levels: Levels, dimension: int):
        self.target, self.training, self.levels, self.dimension = target, training, levels, dimension

    def process(self, group: tuple[int, Iterable[bytes]]) -> Iterator[int]:
        if sealed.discard_damaged(self.target.file("first", ".npy")):
            yield len(load_array(self.target, "first"))
            return
        first = gather(group[1], self.levels.first_sample, self.dimension)
        found = kmeans.train(coarse(first.vectors()), self.levels.first, iterations=self.training.iterations)
        save_array(self.target, "first", found.centroids.astype(np.int16))
        yield len(found.centroids)


class SendToClusters(beam.DoFn):
    """Sample part -> (cluster of the first level, blocks of the records that are nearest to it)."""

    def __init__(self, target: Artifact):
        self.target = target

    def process(self, part: Part, first: int) -> Iterator[tuple[int, bytes]]:
        centroids = load_array(self.target, "first").astype(np.float32)
        held: list[list[np.ndarray]] = [[] for _ in range(first)]
        size = 0
        for records in read_blocks(self.target, part.unit):
            labels, _ = nearest(coarse(records["vector"]), centroids)
            order = np.argsort(labels, kind="stable")
            bounds = np.searchsorted(labels[order], np.arange(first + 1))
            for cluster in np.unique(labels):
                held[cluster].append(records[order[bounds[cluster] : bounds[cluster + 1]]])
            size += records.nbytes
            if size > 64 * BLOCK_BYTES:
                yield from self._blocks(held)
                held, size = [[] for _ in range(first)], 0
        yield from self._blocks(held)

    @staticmethod
    def _blocks(held: list[list[np.ndarray]]) -> Iterator[tuple[int, bytes]]:
        for cluster, pieces in enumerate(held):
            if pieces:
                for block in cut(np.concatenate(pieces)):
                    yield cluster, block


class KeepPoints(beam.DoFn):
    """A cluster of the first level and its records -> its points as bins/bin-CLUSTER.npy; yields its Share."""

    def __init__(self, target: Artifact, levels: Levels, dimension: int):
        self.target, self.levels, self.dimension = target, levels, dimension

    def process(self, group: tuple[int, Iterable[bytes]]) -> Iterator[tuple[int, tuple[int, Share]]]:
        found = gather(group[1], self.levels.most_sample, self.dimension)
        points = np.concatenate([coarse(part).astype(np.int16) for part in windows(found.vectors())])
        save_array(self.target, bin_name(group[0]), points)
        yield 0, (group[0], Share.of(found.seen, points))


def bin_name(cluster: int) -> str:
    return f"bins/bin-{cluster:05d}"


def plan(group: tuple[int, Iterable[tuple[int, Share]]], training: Training, levels: Levels) -> Iterator[Any]:
    """All Shares by cluster -> (cluster, its Share, its centroids), for those that get any."""
    found = sorted(group[1], key=lambda item: item[0])
    counts = apportion([share for _, share in found], k=training.k, most=levels.most)
    for (cluster, share), count in zip(found, counts):
        if count:
            yield cluster, share, count


class TrainShare(beam.DoFn):
    """(cluster of the first level, its Share, centroids it gets) -> (0, (cluster, Share, centroids, about them))."""

    def __init__(self, target: Artifact, training: Training):
        self.target, self.training = target, training

    def process(self, item: tuple[int, Share, int]) -> Iterator[tuple[int, tuple[int, Share, bytes, dict]]]:
        cluster, share, count = item
        points = load_array(self.target, bin_name(cluster)).astype(np.float32)
        found = kmeans.train(points, count, iterations=self.training.iterations)
        described = {
            "objective": found.objective[-1:],
            "imbalance": found.imbalance,
            "splits": found.splits,
            "iterations": found.iterations,
        }
        yield 0, (cluster, share, found.centroids.astype("<i2").tobytes(), described)


class JoinShares(beam.DoFn):
    """All trained shares -> the centroids' files, and the totals that go into the manifest."""

    def __init__(self, target: Artifact, members: Members, training: Training, levels: Levels, dimension: int):
        self.target, self.members, self.training = target, members, training
        self.levels, self.dimension = levels, dimension

    def process(self, group: tuple[int, Iterable[Any]]) -> Iterator[dict[str, Any]]:
        found = []
        for _, share, stored, described in sorted(group[1], key=lambda item: item[0]):
            centroids = np.frombuffer(stored, "<i2").reshape(-1, self.dimension).astype(np.float32)
            found.append((share, kmeans.Clustering(centroids, **described)))
        sample = sum(share.points for share, _ in found)
        totals = save_clustering(self.target, join(found), sample=sample, method=self.training.method)
        counts = [len(one.centroids) for _, one in found]
        totals["levels"] = {
            "first": len(load_array(self.target, "first")),
            "with_centroids": len(found),
            "largest_share": max(counts),
            "largest_share_allowed": self.levels.most,
            "thinned": sum(share.kept < share.points for share, _ in found),
        }
        yield {"folder": self.target.url, "totals": totals | {"embedding": self.members.embedding}}


@dataclass
class MakeTwoLevels(StageTransform):
    """pipeline -> centroids/ as clusters.centroids.MakeCentroids makes them, trained as training.levels says.

    trainer_bytes: what the levels were planned for, and what a worker that trains needs besides its process.
    """

    version = 3

    members: Members
    training: Training
    dimension: int
    trainer_bytes: int

    def __post_init__(self) -> None:
        if self.training.levels is None:
            raise ValueError(f"{self.training} has no levels; MakeCentroids trains in one")

    @property
    def worker_memory(self) -> int:
        """Bytes that a worker that trains needs, as transforms.stages.memory counts them."""
        return memory.training_in_two_levels(
            trainer_bytes=self.trainer_bytes, dimension=self.dimension, k=self.training.k
        )

    @property
    def config(self) -> dict[str, Any]:
        return json.loads(json.dumps(asdict(self.training)))

    def parts(self, units: beam.PCollection[Unit]) -> beam.PCollection:
        target, training, levels = self.target, self.training, self.training.levels
        assert levels is not None
        parts = units | "Sample" >> beam.ParDo(WriteSample(target, self.members, training))
        first = (
            parts
            | "SendToFirst" >> beam.ParDo(SendToFirst(target, training, levels)).with_output_types(tuple[int, bytes])
            | "GatherFirst" >> beam.GroupByKey()
            | "TrainFirst" >> beam.ParDo(TrainFirst(target, training, levels, self.dimension))
        )
        totals = (
            parts
            # As a side input the first level is finished before its centroids are looked for.
            | "SendToClusters"
            >> beam.ParDo(SendToClusters(target), beam.pvalue.AsSingleton(first)).with_output_types(tuple[int, bytes])
            | "GatherClusters" >> beam.GroupByKey()
            | "KeepPoints" >> beam.ParDo(KeepPoints(target, levels, self.dimension)).with_output_types(tuple[int, Any])
            | "GatherShares" >> beam.GroupByKey()
            | "Plan" >> beam.FlatMap(plan, training, levels).with_output_types(Any)
            | "SpreadShares" >> beam.Reshuffle()
            | "TrainShares" >> beam.ParDo(TrainShare(target, training)).with_output_types(tuple[int, Any])
            | "GatherTrained" >> beam.GroupByKey()
            | "Join" >> beam.ParDo(JoinShares(target, self.members, training, levels, self.dimension))
        )
        return (parts, totals) | "PartsAndTotals" >> beam.Flatten()
