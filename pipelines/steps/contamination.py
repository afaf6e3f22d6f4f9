"""contamination: documents that hold benchmark items."""

from collections.abc import Generator
from dataclasses import asdict
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from sluice.models.arrays.vectors import COARSE, scale_for
from sluice.pipelines.base.cuts import Cut
from sluice.pipelines.base.items import check_dimension, check_items, details_of_items, item_of, too_short_lines
from sluice.pipelines.base.layout import SCORED, Slot
from sluice.pipelines.base.places import absolute_paths
from sluice.pipelines.base.runs import CurrentRun, FinishedRun
from sluice.pipelines.base.step import Step
from sluice.pipelines.base.work import Scored, Stage, Work
from sluice.transforms.audit.views import AuditedStep
from sluice.transforms.scores.benchmark_items.items import Items


class Contamination(Step):
    """Documents that share `ngram` consecutive words with a benchmark item, or are too similar to one, go.

    benchmarks: files of items, JSON lines as a rule; text, id and vector are fields of their records (without an id it
    is the place; a vector only where the documents' are given too). Words as GPT-3 compares them (arXiv 2005.14165):
    case, punctuation, white space and characters that nobody sees make no difference, and in scripts without spaces
    every letter is a word; an item of fewer than ngram words is looked for as a whole if it has at least `shortest`.
    ngram null: no words are compared. cut: a threshold (or eps) on the cosine; without one nothing is embedded for
    this step.
    """

    step: Literal["contamination"] = "contamination"
    benchmarks: tuple[str, ...] = Field(min_length=1)
    text: str | None = "text"
    id: str | None = None
    vector: str | None = None
    ngram: int | None = Field(default=13, ge=2, le=1000)
    shortest: int = Field(default=8, ge=1)
    cut: Cut | None = None

    _absolute = field_validator("benchmarks")(absolute_paths)

    @model_validator(mode="after")
    def _something(self) -> "Contamination":
        if self.ngram is None and self.cut is None:
            raise ValueError("contamination compares nothing: give ngram, or a threshold, or both")
        if self.ngram is None and self.shortest != 8:
            raise ValueError("shortest is given, and no words are compared (ngram is null)")
        if self.ngram is not None and self.shortest > self.ngram:
            raise ValueError(f"shortest {self.shortest} is above ngram {self.ngram}")
        if self.ngram is not None and self.text is None:
            raise ValueError("the words of items without text cannot be compared: give text, or ngram null")
        if self.cut is not None and self.cut.limit is None:
            raise ValueError("contamination takes a threshold or eps: how similar is too similar")
        if self.cut is not None and not -1 <= (self.cut.limit or 0) <= 1:
            raise ValueError(f"a contamination threshold is a cosine from -1 to 1, not {self.cut.limit}")
        if self.cut is None and self.vector is not None:
            raise ValueError("vector is given, and nothing is compared by vectors (there is no threshold)")
        return self

    @property
    def needs_vectors(self) -> bool:  # type: ignore[override]
        return self.cut is not None

    @property
    def needs_texts(self) -> bool:  # type: ignore[override]
        return self.ngram is not None

    def layout(self) -> tuple[Slot, ...]:
        return (Slot("items", "one", law="fixed"), Slot("matches"), *SCORED)

    @property
    def items(self) -> Items:
        return Items(self.benchmarks, self.text, self.id, self.vector)

    def check(self, run: CurrentRun) -> None:
        check_items(self.items, run, by_vectors=self.needs_vectors)

    def stages(self, work: Work) -> Generator[Stage, None, Scored]:
        # heavy: Beam
        from sluice.transforms.scores.benchmark_items.contamination import ContaminationScores, FindItems, WriteMatches
        from sluice.transforms.scores.benchmark_items.findings import Search
        from sluice.transforms.scores.benchmark_items.read_items import ReadItems

        limit = None if self.cut is None else self.cut.limit
        scale = scale_for(None if limit is None else float(limit)) if limit is not None else COARSE
        search = Search(self.ngram, self.shortest, None if limit is None else int(limit * scale**2 // 1), scale)
        embedder = work.run.embedder if self.needs_vectors else None
        made = work.run.embedding_recipe if self.needs_vectors else None
        items = work.artifact("items", ReadItems, [self.items.digest(), made])
        read = ReadItems(items, self.items, embedder, embed=self.needs_vectors)
        yield work.stage("items", items, read)
        if self.needs_vectors:
            check_dimension(work.name, items, work.embeddings)
        embeddings = work.embeddings if self.needs_vectors else None
        inputs = items, work.documents, embeddings, work.before
        matches = work.artifact("matches", FindItems, asdict(search), *inputs)
        found = work.artifact("found", FindItems, asdict(search), *inputs)
        write = WriteMatches(
            matches,
            items,
            search,
            documents=work.documents,
            embeddings=embeddings,
            keep=work.before,
            fields=work.run.fields,
            on_unreadable=work.run.recipe.input.unreadable,
        )
        find = FindItems(work.inventory, matches, write, found, work.seed)
        yield Stage(f"{work.name}/matches", (found, matches), find)
        scores = work.artifact("scores", ContaminationScores, asdict(self.guard), matches)
        yield work.score_units(ContaminationScores(scores, work.documents, work.before, self.guard, matches, search))
        return Scored(scores, scale**2 if search.limit is None else search.limit, scale**2)

    def notes(self, totals: dict[str, Any]) -> list[str]:
        lines = []
        if self.ngram is not None:
            lines.append(f"{totals['overlapping']:,} documents share {self.ngram} words with a benchmark item.")
        if self.cut is not None:
            rest = totals["similar"] - totals["overlapping_and_similar"]
            more = " more" if self.ngram is not None else ""
            lines.append(f"{rest:,}{more} are more similar to one than {self.cut.limit}.")
        return [" ".join(lines)]

    def not_compared(self, step: AuditedStep) -> list[str]:
        return too_short_lines(self.details(step), self.shortest, by_vectors=self.needs_vectors)

    def details(self, step: AuditedStep) -> dict[str, Any]:
        return details_of_items(step.scores.url)

    def matched(self, run: FinishedRun, name: str, row: dict[str, Any]) -> dict[str, Any] | None:
        return None if row["item"] is None else item_of(run, name, row["item"])
