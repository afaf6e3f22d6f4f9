"""The stages of a run, in order: each one's artifact, whose key follows from its configuration and its inputs' content.

A stage is asked for only when those before it are finished, because its key needs their digests.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from importlib.metadata import version
from typing import Any

import apache_beam as beam

from sluice.models import kmeans, select
from sluice.models.vectors import COARSE
from sluice.pipelines.recipe import Clustered, Exact, Prototypes, Random, Recipe, SemDeDup, to_order
from sluice.transforms import semdedup, storage
from sluice.transforms.artifacts import Artifact, digest_of
from sluice.transforms.centroids import MakeCentroids, Members, Training
from sluice.transforms.clusters import AssignClusters, record_dtype
from sluice.transforms.cut import Cut, Ranked
from sluice.transforms.decisions import Decide, ExportCorpus
from sluice.transforms.decisions import Step as DecidedStep
from sluice.transforms.documents import ReadDocuments, Reading
from sluice.transforms.embeddings import Embed
from sluice.transforms.equals import Digests, FindCopies
from sluice.transforms.order import Order
from sluice.transforms.ranks import ClusterRanks, RankWithinClusters
from sluice.transforms.records import Fields
from sluice.transforms.simple_scores import ExactScores, PrototypeScores, RandomScores, ScoreUnits
from sluice.transforms.splits import SplitClusters, plan_splits
from sluice.transforms.units import Inputs, TakeInventory, units_digest

# Part of every key: raise it when a change alters what any stage writes.
FORMAT_VERSION = 1
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


class Run:
    """A run directory and the recipe it follows."""

    def __init__(self, url: str, recipe: Recipe):
        self.url = url.rstrip("/")
        self.recipe = recipe

    # Artifacts --------------------------------------------------------------------------------------------------

    def artifact(self, folder: str, config: Any, *inputs: Artifact | None) -> Artifact:
        """The artifact in a folder, keyed by its configuration and the content of its inputs."""
        digests = [None if one is None else one.digest for one in inputs]
        return Artifact(storage.join(self.url, folder), digest_of([FORMAT_VERSION, folder, config, digests]))

    @cached_property
    def inputs(self) -> Inputs:
        source = self.recipe.input
        return Inputs(source.paths, source.format, source.unit_bytes)

    @cached_property
    def _units(self) -> tuple[str, int]:
        units = self.inputs.plan()
        return units_digest(units), len(units)

    @property
    def units(self) -> int:
        return self._units[1]

    @cached_property
    def inventory(self) -> Artifact:
        return self.artifact("inventory", self._units[0])

    @cached_property
    def fields(self) -> Fields:
        source = self.recipe.input
        return Fields(source.text, source.id, source.vector, self.reading_columns, source.max_document_bytes)

    @property
    def reading_columns(self) -> tuple[str, ...]:
        kind, name = self.recipe.counting
        wanted = [*self.recipe.numbers, self.recipe.input.source, name if kind == "column" else None]
        return tuple(dict.fromkeys(column for column in wanted if column))

    @cached_property
    def reading(self) -> Reading:
        kind, name = self.recipe.counting
        if kind == "model":
            name = self.model
        return Reading(
            self.fields,
            (kind, name),
            self.recipe.numbers,
            self.recipe.input.source,
            self.recipe.input.unreadable,
            hash_texts=any(isinstance(step, Exact) for step in self.recipe.steps),
        )

    @cached_property
    def model(self) -> str:
        from sluice.models.default_model import default_model_dir

        return self.recipe.embedding.model or default_model_dir()

    @cached_property
    def embedder(self) -> Any:
        """The EmbedderConfig, or None where vectors are given."""
        if self.recipe.input.vector is not None:
            return None
        from sluice.models.descriptions import default_cache
        from sluice.models.embedder import EmbedderConfig

        options = self.recipe.embedding
        return EmbedderConfig(self.model, options.max_tokens, options.pooling, cache=default_cache())

    @cached_property
    def embedding_recipe(self) -> dict[str, Any]:
        if self.embedder is None:
            return {"vector": self.recipe.input.vector}
        from sluice.models.descriptions import describe

        return describe(self.embedder)

    @cached_property
    def documents(self) -> Artifact:
        return self.artifact("documents", asdict(self._described_reading), self.inventory)

    @property
    def _described_reading(self) -> Reading:
        """The reading with its tokenizer named by content, so that a moved model directory changes nothing."""
        kind, name = self.reading.tokens
        if kind == "model":
            from sluice.models.descriptions import tokenizer_recipe

            name = digest_of(tokenizer_recipe(name))
        elif kind == "tokenizer":
            name = digest_of(storage.read_bytes(name).hex())
        return replace(self.reading, tokens=(kind, name))

    @property
    def rejected(self) -> Artifact:
        return Artifact(storage.join(self.url, "rejected"), self.documents.key)

    # Stages -----------------------------------------------------------------------------------------------------

    def stages(self) -> Iterator[Stage]:
        """Every stage in order; the next one may be asked for once the last one is finished."""
        config = self.recipe.input.model_dump(mode="json")
        yield Stage("inventory", (self.inventory,), TakeInventory(self.inputs, self._units[0], self.inventory, config))
        yield Stage(
            "documents",
            (self.rejected, self.documents),
            ReadDocuments(
                self.inventory,
                self.documents,
                self.rejected,
                self.reading,
                self.units,
                max_reject_share=self.recipe.input.max_reject_share,
            ),
        )
        keep: Artifact | None = None
        embeddings: Artifact | None = None
        decided: list[DecidedStep] = []
        for number, step in enumerate(self.recipe.steps, start=1):
            folder = f"steps/{number:02d}-{step.step}"
            if isinstance(step, Clustered) and embeddings is None:
                embeddings = self._embeddings(keep)
                yield self._embed(embeddings, keep)
            stages = StepStages(self, folder, step, keep=keep, embeddings=embeddings)
            yield from stages.run()
            keep = stages.keep
            decided.append(stages.decided())
        yield from self._results(tuple(decided))

    def _embeddings(self, keep: Artifact | None) -> Artifact:
        # Columns that steps order by are no part of it: another order must not mean embedding again.
        reading = [asdict(replace(self.fields, columns=())), self.recipe.input.unreadable]
        survivors = None if keep is None else keep.digest
        return self.artifact("embeddings", [self.embedding_recipe, reading, survivors], self.inventory)

    def _embed(self, embeddings: Artifact, keep: Artifact | None) -> Stage:
        transform = Embed(
            self.inventory,
            self.documents,
            embeddings,
            keep,
            self.fields,
            self.embedder,
            self.units,
            recipe=self.embedding_recipe,
            on_unreadable=self.recipe.input.unreadable,
        )
        return Stage("embeddings", (embeddings,), transform)

    def _results(self, steps: tuple[DecidedStep, ...]) -> Iterator[Stage]:
        keep = steps[-1].keep
        described = [(step.name, step.scale, step.threshold, step.scores.digest, step.keep.digest) for step in steps]
        decisions = self.artifact("decisions", described, self.documents)
        yield Stage("decisions", (decisions,), Decide(self.inventory, self.documents, decisions, steps, self.units))
        corpus = self.artifact("corpus/_parts", self.recipe.input.unreadable, self.documents, keep)
        transform = ExportCorpus(
            self.inventory,
            self.documents,
            corpus,
            keep,
            self.fields,
            self.units,
            self.recipe.input.unreadable,
        )
        yield Stage("corpus", (corpus,), transform)


class StepStages:
    """The stages of one step, from who is left to who is kept."""

    def __init__(self, run: Run, folder: str, step: Any, *, keep: Artifact | None, embeddings: Artifact | None):
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


def versions() -> dict[str, str]:
    """The versions of what a run's numbers depend on."""
    return {name: version(name) for name in ("sluice", "apache-beam", "jax", "tensorflow", "numpy", "pyarrow")}
