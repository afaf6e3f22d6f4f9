"""The stages of one step, from the documents still in to those it keeps: clusters, scores, cut."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import apache_beam as beam

from sluice.models import kmeans, select
from sluice.models.vectors import COARSE
from sluice.pipelines.recipe import Clustered, Exact, Prototypes, Random, SemDeDup, to_order
from sluice.transforms import semdedup
from sluice.transforms.artifacts import Artifact
from sluice.transforms.centroids import MakeCentroids, Members, Training
from sluice.transforms.clusters import AssignClusters, record_dtype
from sluice.transforms.cut import Cut, Ranked
from sluice.transforms.decisions import Step as DecidedStep
from sluice.transforms.equals import Digests, FindCopies
from sluice.transforms.order import Order
from sluice.transforms.ranks import ClusterRanks, RankWithinClusters
from sluice.transforms.simple_scores import ExactScores, PrototypeScores, RandomScores, ScoreUnits
from sluice.transforms.splits import SplitClusters, plan_splits

if TYPE_CHECKING:
    from sluice.pipelines.stages import Run

MOST_SPLITS = 6


class UnreachableTarget(ValueError):
    """A step cannot remove as much as its cut asks for."""


@dataclass(frozen=True)
class Stage:
    """One job: `transform` fills `artifacts` (the last one is the stage's own) and finishes them."""

    name: str
    artifacts: tuple[Artifact, ...]
    transform: beam.PTransform

    @property
    def finished(self) -> bool:
        return all(artifact.finished for artifact in self.artifacts)


class StepStages:
    """The stages of one step, from who is left to who is kept."""

    def __init__(self, run: "Run", folder: str, step: Any, *, keep: Artifact | None, embeddings: Artifact | None):
        self.run_, self.folder, self.step = run, folder, step
        self.before, self.embeddings = keep, embeddings
        self.name = folder.removeprefix("steps/")
        self.seed = run.recipe.seed
        self.scale = 1
        self.threshold: int | float | None = None

    def run(self) -> Iterator[Stage]:
        if isinstance(self.step, Exact):
            yield from self._exact(self.step)
        elif isinstance(self.step, SemDeDup):
            yield from self._semdedup(self.step)
        elif isinstance(self.step, Prototypes):
            yield from self._prototypes(self.step)
        elif isinstance(self.step, Random):
            yield from self._random()
        yield from self._cut()

    def artifact(self, folder: str, config: Any, *inputs: Artifact | None) -> Artifact:
        return self.run_.artifact(f"{self.folder}/{folder}", [config, self.seed], *inputs)

    def _stage(self, name: str, artifact: Artifact, transform: beam.PTransform) -> Stage:
        return Stage(f"{self.name}/{name}", (artifact,), transform)

    # The parts of steps -----------------------------------------------------------------------------------------

    def _copies(self, source: Artifact, column: str, order: Order) -> Stage:
        documents = self.run_.documents
        self.copies = self.artifact("copies", [column, asdict(order)], documents, source, self.before)
        digests = Digests(documents, source, column, self.before, order, self.seed)
        transform = FindCopies(self.run_.inventory, digests, self.copies, self.run_.units, documents.manifest["rows"])
        return self._stage("copies", self.copies, transform)

    def _exact(self, step: Exact) -> Iterator[Stage]:
        yield self._copies(self.run_.documents, "text_hash", to_order(step.order))
        self.scores = self.artifact("scores", asdict(step.guard), self.copies)
        write = ExactScores(self.scores, self.run_.documents, self.before, step.guard, self.copies)
        yield self._score(write)
        self.threshold = 0

    def _score(self, write: Any) -> Stage:
        return self._stage("scores", self.scores, ScoreUnits(self.run_.inventory, write, self.run_.units))

    @property
    def alive(self) -> int:
        if self.before is None:
            return self.run_.documents.manifest["totals"]["documents"]
        return self.before.manifest["totals"]["kept"]

    def _cluster(self, step: Clustered, members: Members, *, order: Order | None) -> Iterator[Stage]:
        population = self.alive
        if members.copies is not None:
            population = members.copies.manifest["totals"]["distinct"]
        k = kmeans.choose_k(population) if step.clusters == "auto" else step.clusters
        if k > population:
            raise ValueError(
                f"step {self.name}: {k} clusters for {population} documents; give --clusters a smaller number"
            )
        sample = min(max(step.sample_per_cluster * k, 1), step.max_sample, population)
        training = Training(
            k,
            sample,
            population,
            self.seed,
            type(step).__name__.lower(),
            iterations=step.iterations,
            method=step.assignment,
        )
        inputs = (members.documents, members.embeddings, members.keep, members.copies)
        self.centroids = self.artifact("centroids", asdict(training), *inputs)
        transform = MakeCentroids(self.run_.inventory, members, self.centroids, training, self.run_.units)
        yield self._stage("centroids", self.centroids, transform)
        yield self._assign("", members, order, inputs)
        if isinstance(step, SemDeDup):
            yield from self._split(step, members, order, inputs)

    def _assign(self, folder: str, members: Members, order: Order | None, inputs: tuple[Artifact | None, ...]) -> Stage:
        described = None if order is None else asdict(order)
        self.clusters = self.artifact(f"{folder}clusters", described, self.centroids, *inputs)
        assign = AssignClusters(
            self.run_.inventory, members, self.centroids, self.clusters, order, self.seed, self.run_.units
        )
        return self._stage(f"{folder}clusters", self.clusters, assign)

    def _split(
        self, step: SemDeDup, members: Members, order: Order | None, inputs: tuple[Artifact | None, ...]
    ) -> Iterator[Stage]:
        """Split clusters above the bin's size and assign again, until there is none."""
        dimension = self.centroids.manifest["totals"]["dimension"]
        most = max(step.bin_bytes // record_dtype(dimension).itemsize, 1)
        for number in range(1, MOST_SPLITS + 1):
            plan = plan_splits(self.clusters, self.centroids, most=most, seed=self.seed)
            if plan is None:
                return
            folder = f"split-{number}/"
            after = self.artifact(f"{folder}centroids", asdict(plan), self.centroids, self.clusters)
            transform = SplitClusters(
                self.run_.inventory, members, self.clusters, self.centroids, after, plan, self.run_.units
            )
            yield self._stage(f"{folder}centroids", after, transform)
            self.centroids = after
            yield self._assign(folder, members, order, inputs)
        raise ValueError(
            f"step {self.name}: a cluster has more than bin_bytes {step.bin_bytes} after {MOST_SPLITS} splits"
        )

    def _semdedup(self, step: SemDeDup) -> Iterator[Stage]:
        order = to_order(step.order)
        yield self._copies(self._given_embeddings, "digest", order)
        members = Members(self.run_.documents, self._given_embeddings, self.before, self.copies)
        yield from self._cluster(step, members, order=order)
        limit = step.cut.limit
        scale = semdedup.scale_for(None if limit is None else float(limit))
        # A whole number is above limit * scale**2 just when it is above its floor.
        self.threshold = None if limit is None else int(limit * scale**2 // 1)
        rule = semdedup.Rule(step.rule, self.threshold if step.rule != "official" else None, scale)
        self.scale = scale**2
        self.scores = self.artifact(
            "scores", [asdict(rule), asdict(step.guard), step.bin_bytes], self.clusters, self.copies
        )
        score = semdedup.ScoreSemDeDup(
            self.run_.inventory,
            members,
            self.clusters,
            self.scores,
            rule,
            step.guard,
            dimension=self.centroids.manifest["totals"]["dimension"],
            units=self.run_.units,
            bin_bytes=step.bin_bytes,
        )
        yield self._stage("scores", self.scores, score)

    def _prototypes(self, step: Prototypes) -> Iterator[Stage]:
        members = Members(self.run_.documents, self._given_embeddings, self.before)
        yield from self._cluster(step, members, order=None)
        config = [step.direction, step.scope, asdict(step.guard)]
        self.scores = self.artifact("scores", config, self.clusters)
        if step.scope == "cluster":
            sign = 1 if step.direction == "far" else -1
            ranks = ClusterRanks(self.run_.documents, self.clusters, self.before, sign, self.seed)
            transform = RankWithinClusters(self.run_.inventory, ranks, self.scores, step.guard, self.run_.units)
            yield self._stage("scores", self.scores, transform)
            return
        self.scale = COARSE**2
        write = PrototypeScores(
            self.scores, self.run_.documents, self.before, step.guard, self.clusters, step.direction
        )
        yield self._score(write)

    def _random(self) -> Iterator[Stage]:
        self.scores = self.artifact("scores", asdict(self.step.guard), self.run_.documents, self.before)
        yield self._score(RandomScores(self.scores, self.run_.documents, self.before, self.step.guard, self.seed))

    @property
    def _given_embeddings(self) -> Artifact:
        if self.embeddings is None:
            raise ValueError(f"step {self.name} needs embeddings")
        return self.embeddings

    # The cut ----------------------------------------------------------------------------------------------------

    def _cut(self) -> Iterator[Stage]:
        by, target = "documents", None
        if self.threshold is None:
            totals = self.run_.documents.manifest["totals"]
            by, target = self.step.cut.target(documents=totals["documents"], tokens=totals["tokens"])
            self._check_reachable(by, target)
        self.keep = self.artifact("keep", [by, target, self.threshold], self.run_.documents, self.scores)
        found = self.scores.manifest["totals"]
        scale = select.Scale.of(found.get("min_score"), found.get("max_score"))
        ranked = Ranked(self.run_.documents, self.scores, self.seed, by, scale)
        cut = Cut(
            self.run_.inventory,
            ranked,
            self.keep,
            self.run_.units,
            target=target,
            threshold=self.threshold if target is None else None,
            documents=found["alive"],
            config={"by": by, "target": target, "threshold": self.threshold, "scale": self.scale},
        )
        yield self._stage("keep", self.keep, cut)

    def _check_reachable(self, by: str, target: int) -> None:
        scores = self.scores.manifest["totals"]
        suffix = "" if by == "documents" else "_tokens"
        everything = self.run_.documents.manifest["totals"][by]
        alive, removable = scores[f"alive{suffix}"], scores[f"removable{suffix}"]
        if target < alive - removable:
            raise UnreachableTarget(
                f"step {self.name} cannot go down to {target:,} of {everything:,} {by} "
                f"({target / everything:.1%}): of the {alive:,} still in it can remove {removable:,}, so it can keep "
                f"from {(alive - removable) / everything:.1%} ({alive - removable:,}) "
                f"to {alive / everything:.1%} ({alive:,})"
            )

    def decided(self) -> DecidedStep:
        """The finished step as decisions show it; call once its stages are finished."""
        threshold = self.threshold
        if threshold is None:
            # The lowest score that was removed: what the target came out as.
            threshold = self.keep.manifest["totals"].get("min_removed_score")
        shown = None if threshold is None else threshold / self.scale
        return DecidedStep(self.name, self.scores, self.keep, float(self.scale), shown)
