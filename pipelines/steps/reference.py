"""reference: what earlier runs already hold."""

import json
from collections.abc import Generator
from dataclasses import asdict
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from sluice.models.arrays.vectors import scale_for
from sluice.pipelines.base.cuts import Cut
from sluice.pipelines.base.layout import KEEP, Find, Slot
from sluice.pipelines.base.places import absolute_paths
from sluice.pipelines.base.runs import CurrentRun, FinishedRun
from sluice.pipelines.base.step import Step
from sluice.pipelines.base.work import Scored, Stage, Work
from sluice.pipelines.terminal.printing import counted
from sluice.transforms.audit.views import AuditedStep
from sluice.transforms.clusters.fit import UnfitCentroids, check_embedding, content_digest
from sluice.transforms.clusters.members import Members
from sluice.transforms.scores.earlier import COLUMNS, Earlier
from sluice.transforms.stages.artifacts import Artifact
from sluice.transforms.stages.order import Order


class Reference(Step):
    """Documents that earlier runs hold already: those too similar to one that such a run kept.

    runs: directories of finished runs over vectors of the same embedder. Clusters are those of the first one's last
    step over clusters; as in SemDeDup (arXiv 2303.09540), documents are compared within clusters. What a reference step
    of one of the runs assigned to them already is read where it is. bin_bytes: the most vectors of each side that a
    worker holds at a time. `sluice explain` names the run and the document in it.
    """

    needs_vectors: ClassVar[bool] = True

    step: Literal["reference"] = "reference"
    runs: tuple[str, ...] = Field(min_length=1)
    bin_bytes: int = Field(default=256 << 20, ge=1)
    cut: Cut

    def layout(self) -> tuple[Slot, ...]:
        own = (Slot("clusters", law="assign"), Slot("scores", law="pairs", shuffled=24), KEEP)
        return (Slot("centroids", "one", law="fixed"), *self._earlier(), *own)

    def _earlier(self) -> tuple[Slot, ...]:
        return tuple(Slot(f"run-{number}/clusters", "other units") for number in range(1, len(self.runs) + 1))

    def needed(self, find: Find) -> tuple[Slot, ...]:
        if find("clusters") is None:
            return self.layout()
        # An earlier run that was assigned already is not assigned here.
        elsewhere = {slot for slot in self._earlier() if find(slot.folder) is None}
        return tuple(slot for slot in self.layout() if slot not in elsewhere)

    @property
    def other_runs(self) -> tuple[str, ...]:
        return self.runs

    @field_validator("runs")
    @classmethod
    def _absolute(cls, runs: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(run.rstrip("/") for run in absolute_paths(runs))

    @model_validator(mode="after")
    def _cosine(self) -> "Reference":
        if len(set(self.runs)) != len(self.runs):
            raise ValueError(f"runs names one twice: {', '.join(self.runs)}")
        if self.cut.limit is not None and not -1 <= self.cut.limit <= 1:
            raise ValueError(f"a reference threshold is a cosine from -1 to 1, not {self.cut.limit}")
        return self

    def check(self, run: CurrentRun) -> None:
        if absolute_paths((run.url,))[0] in self.runs:
            raise ValueError(f"step reference: {run.url} is this run itself")
        embedder = json.loads(json.dumps(run.embedding_recipe, default=str))
        check_embedding(find_clusters(run.open(self.runs[0])), embedder)
        for url in self.runs:
            _check_embedder(run.open(url), embedder)

    def stages(self, work: Work) -> Generator[Stage, None, Scored]:
        # heavy: Beam
        from sluice.transforms.clusters.adopted import AdoptCentroids
        from sluice.transforms.clusters.assign import AssignClusters

        runs = [work.run.open(url) for url in self.runs]
        dimension = work.embeddings.manifest["totals"]["max_dimension"]
        for run in runs:
            _check_embedder(run, work.embeddings.manifest["config"]["embedder"], dimension)
        source = find_clusters(runs[0])
        adopted = content_digest(source)
        centroids = work.artifact("centroids", AdoptCentroids, ["adopted", adopted])
        yield work.stage("centroids", centroids, AdoptCentroids(centroids, source))
        earlier = []
        for number, run in enumerate(runs, start=1):
            members = _kept(run)
            found = work.run.assigned_in(run, members, adopted=adopted, among=runs)
            if found is not None:
                earlier.append(found)
                continue
            folder = f"run-{number}/clusters"
            inputs = centroids, members.documents, members.embeddings, members.keep
            target = work.artifact(folder, AssignClusters, None, *inputs)
            inventory = run.artifact("inventory")
            assign = AssignClusters(inventory, target, members, centroids, Order("random"), work.seed)
            yield work.stage(folder, target, assign)
            earlier.append(Earlier(target))
        own = Members(work.documents, work.embeddings, work.before)
        inputs = centroids, own.documents, own.embeddings, own.keep
        clusters = work.artifact("clusters", AssignClusters, None, *inputs)
        assign = AssignClusters(work.inventory, clusters, own, centroids, Order("random"), work.seed)
        yield work.stage("clusters", clusters, assign)
        return (yield from self._score(work, own, clusters, earlier, dimension))

    def _score(
        self, work: Work, own: Members, clusters: Artifact, earlier: list[Earlier], dimension: int
    ) -> Generator[Stage, None, Scored]:
        # heavy: Beam
        from sluice.transforms.scores.reference import ScoreReference, Sides

        limit = self.cut.limit
        scale = scale_for(None if limit is None else float(limit))
        threshold = None if limit is None else int(limit * scale**2 // 1)
        compared = [artifact for one in earlier for artifact in one.inputs]
        config = [scale, asdict(self.guard), self.bin_bytes]
        scores = work.artifact("scores", ScoreReference, config, clusters, *compared)
        sides = Sides(clusters, tuple(earlier), dimension, scale)
        score = ScoreReference(work.inventory, scores, own, sides, self.guard, bin_bytes=self.bin_bytes)
        yield work.stage("scores", scores, score)
        return Scored(scores, threshold, scale**2)

    def not_compared(self, step: AuditedStep) -> list[str]:
        count = step.scores.manifest["totals"].get("compared_with_none", 0)
        was, its = ("was", "its cluster") if count == 1 else ("were", "their clusters")
        who = f"{counted(count, 'document')} {was} compared with none"
        return [f"{who}: the earlier runs kept nothing in {its}."] if count else []

    def matched(self, run: FinishedRun, name: str, row: dict[str, Any]) -> dict[str, Any] | None:
        number, unit, place = (row[column] for column in COLUMNS)
        if number is None:
            return None
        url = self.runs[number]
        try:
            found = run.open(url).texts([(unit, place)])[unit, place]
        except (FileNotFoundError, ValueError) as error:
            return {"where": url, "id": f"{unit}:{place}", "text": None, "problem": str(error)}
        return {"where": url, "id": found.id or f"{unit}:{place}", "text": found.text, "problem": found.problem}


def find_clusters(run: FinishedRun) -> Artifact:
    """The centroids that a run's documents were assigned to last. Raises UnfitCentroids where it has none."""
    for name in reversed(run.steps):
        options = run.options(name)
        if options.over_clusters:
            run.artifact(f"steps/{name}/keep")
        if options.over_clusters or options.other_runs:
            return run.centroids(name)
    raise UnfitCentroids(
        f"{run.url} has no step over clusters ({', '.join(run.steps)}), so no centroids to compare documents by"
    )


def _check_embedder(run: FinishedRun, embedder: dict[str, Any], dimension: int | None = None) -> None:
    """Raises UnfitCentroids unless a run's vectors were made as `embedder` says (and have so many dimensions)."""
    manifest = run.artifact("embeddings").manifest
    theirs, length = manifest["config"].get("embedder"), manifest["totals"]["max_dimension"]
    if theirs != embedder or dimension not in (None, length):
        raise UnfitCentroids(
            f"the vectors of {run.url} are not of the kind of this run's: {theirs}, {length} dimensions there; "
            f"{embedder}{'' if dimension is None else f', {dimension} dimensions'} here"
        )


def _kept(run: FinishedRun) -> Members:
    """The documents that a run kept, as members of a clustering."""
    keep = run.artifact(f"steps/{run.steps[-1]}/keep")
    return Members(run.artifact("documents"), run.artifact("embeddings"), keep)
