"""The stages of a run, in order: each one's artifact, whose key follows from its configuration and its inputs' content.

A stage is asked for only when those before it are finished, because its key needs their digests.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from functools import cached_property
from importlib.metadata import version
from typing import Any

from sluice.models.checkpoints.default import default_model_dir
from sluice.models.embedders.describe import default_cache, describe, tokenizer_recipe
from sluice.pipelines.base.runs import FinishedRun, keyed
from sluice.pipelines.base.work import Stage, Work
from sluice.pipelines.recipe.recipe import Recipe
from sluice.pipelines.run.adopting import find_centroids
from sluice.pipelines.run.cutting import step_stages
from sluice.pipelines.run.earlier import find_assigned
from sluice.pipelines.run.embedded import Embedded, embedded_name
from sluice.pipelines.run.finished import Finished
from sluice.pipelines.run.losses import check_losses
from sluice.transforms import storage
from sluice.transforms.clusters.members import Members
from sluice.transforms.documents.documents import ReadDocuments, Reading
from sluice.transforms.documents.inventory import Inputs, TakeInventory
from sluice.transforms.embeddings.embed import Embed
from sluice.transforms.outcome.decisions import Decide, DecidedStep, ExportCorpus
from sluice.transforms.records.records import Fields, Unit
from sluice.transforms.scores.earlier import Earlier
from sluice.transforms.stages.artifacts import Artifact, Maker
from sluice.transforms.stages.manifests import digest_of, find_manifest
from sluice.transforms.stages.units import units_digest

log = logging.getLogger("sluice")


class Run:
    """A run directory and the recipe it follows."""

    def __init__(self, url: str, recipe: Recipe):
        self.url = url.rstrip("/")
        self.recipe = recipe

    # Artifacts --------------------------------------------------------------------------------------------------

    def artifact(self, folder: str, maker: type[Maker], config: Any, *inputs: Artifact | None) -> Artifact:
        """The artifact in a folder, keyed by its maker's version, its configuration and the content of its inputs."""
        return keyed(self.url, folder, maker, config, *inputs)

    def open(self, url: str) -> Finished:
        """Another run, which is finished. Raises FileNotFoundError."""
        return Finished(url)

    def centroids_at(self, url: str, step: str) -> Artifact:
        """Those of another run, of a step of the kind `step`. Raises UnfitCentroids."""
        return find_centroids(url, step)

    def assigned_in(
        self, run: FinishedRun, kept: Members, *, adopted: str, among: Sequence[FinishedRun]
    ) -> Earlier | None:
        """As find_assigned."""
        return find_assigned(run, kept, adopted=adopted, among=among)

    @cached_property
    def inputs(self) -> Inputs:
        source = self.recipe.input
        return Inputs(source.paths, source.format, source.unit_bytes)

    @cached_property
    def _units(self) -> tuple[str, int, list[Unit]]:
        units = self.inputs.plan()
        places = sorted({0, len(units) // 2, len(units) - 1}) if units else []
        return units_digest(units), len(units), [units[place] for place in places]

    @property
    def units(self) -> int:
        return self._units[1]

    @property
    def some_units(self) -> list[Unit]:
        """The first, the middle and the last one."""
        return self._units[2]

    @cached_property
    def inventory(self) -> Artifact:
        return self.artifact("inventory", TakeInventory, self._units[0])

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
            hash_texts=any(step.needs_text_hashes for step in self.recipe.steps),
        )

    @cached_property
    def model(self) -> str:
        return self.recipe.embedding.model or default_model_dir()

    @cached_property
    def embedder(self) -> Any:
        """The EmbedderConfig, or None where vectors are given."""
        if self.recipe.input.vector is not None:
            return None
        return self.recipe.embedding.config(self.model, default_cache())

    @cached_property
    def embedding_recipe(self) -> dict[str, Any]:
        if self.embedder is None:
            return {"vector": self.recipe.input.vector}
        return describe(self.embedder)

    @cached_property
    def documents(self) -> Artifact:
        return self.artifact("documents", ReadDocuments, asdict(self._described_reading), self.inventory)

    @property
    def _described_reading(self) -> Reading:
        """The reading with its tokenizer named by content, so that a moved model directory changes nothing."""
        kind, name = self.reading.tokens
        if kind == "model":
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
        yield Stage("inventory", (self.inventory,), TakeInventory(self.inventory, self.inputs, self._units[0], config))
        yield Stage(
            "documents",
            (self.rejected, self.documents),
            ReadDocuments(
                self.inventory,
                self.documents,
                self.rejected,
                self.reading,
                max_reject_share=self.recipe.input.max_reject_share,
            ),
        )
        keep: Artifact | None = None
        embeddings: Artifact | None = None
        decided: list[DecidedStep] = []
        for number, step in enumerate(self.recipe.steps, start=1):
            folder = f"steps/{number:02d}-{step.step}"
            if step.needs_vectors and embeddings is None:
                embeddings = self._embeddings(keep)
                yield self._embed(embeddings, keep)
                if embeddings.manifest["totals"].get("without_vector"):
                    work = Work(self, f"steps/{embedded_name(number)}", None, before=keep, embeddings=embeddings)
                    decided.append((yield from step_stages(Embedded(), work)))
                    keep = decided[-1].keep
            work = Work(self, folder, step.asked, before=keep, embeddings=embeddings)
            decided.append((yield from step_stages(step, work)))
            keep = decided[-1].keep
        yield from self._results(tuple(decided))

    @property
    def _embedded_rows(self) -> list[Any]:
        # Columns that steps order by are no part of it: another order must not mean embedding again.
        return [asdict(replace(self.fields, columns=())), self.recipe.input.unreadable]

    def _embeddings(self, keep: Artifact | None) -> Artifact:
        survivors = None if keep is None else keep.digest
        config = [self.embedding_recipe, self._embedded_rows, survivors]
        return self.artifact("embeddings", Embed, config, self.inventory)

    def _embed(self, embeddings: Artifact, keep: Artifact | None) -> Stage:
        transform = Embed(
            self.inventory,
            embeddings,
            self.documents,
            keep,
            self.fields,
            self.embedder,
            recipe=self.embedding_recipe,
            rows=digest_of([self._embedded_rows, self.inventory.digest]),
            on_unreadable=self.recipe.input.unreadable,
            tokens_known=self.reading.tokens[0] == "model",
            max_reject_share=self.recipe.input.max_reject_share,
        )
        found = find_manifest(embeddings.url)
        if found is not None and digest_of(found["config"]) == digest_of(transform.config):
            transform = replace(transform, previous=Artifact(embeddings.url, found["key"]))
        return Stage("embeddings", (embeddings,), transform)

    def _results(self, steps: tuple[DecidedStep, ...]) -> Iterator[Stage]:
        keep = steps[-1].keep
        described = [step.described for step in steps]
        losses = self.recipe.losses
        decisions = self.artifact("decisions", Decide, [described, losses.share], self.documents)
        decide = Decide(self.inventory, decisions, self.documents, steps, lost_share=losses.share)
        yield Stage("decisions", (decisions,), decide)
        warnings = check_losses(self.url, decisions.manifest["totals"], losses)
        corpus = self.artifact("corpus/_parts", ExportCorpus, self.recipe.input.unreadable, self.documents, keep)
        transform = ExportCorpus(
            self.inventory,
            corpus,
            self.documents,
            keep,
            self.fields,
            self.recipe.input.unreadable,
        )
        if not corpus.finished:
            for line in warnings:
                log.warning("%s", line)
        yield Stage("corpus", (corpus,), transform)


def versions() -> dict[str, str]:
    """The versions of what a run's numbers depend on."""
    return {name: version(name) for name in ("sluice", "apache-beam", "jax", "tensorflow", "numpy", "pyarrow")}
