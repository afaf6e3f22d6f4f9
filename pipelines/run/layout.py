"""The names of a recipe's stages, before anything has run: what a scheduler needs to lay out its tasks."""

from collections.abc import Iterator, Sequence

from sluice.pipelines.base.step import Step
from sluice.pipelines.recipe.recipe import Recipe
from sluice.pipelines.run.embedded import with_embedded
from sluice.pipelines.steps.minhash import MOST_ROUNDS, MinHash
from sluice.pipelines.steps.semdedup import MOST_SPLITS, SemDeDup

REPORT = "report"


def stage_names(recipe: Recipe, *, repeats: int | None = None) -> list[str]:
    """Every stage that a run of the recipe may have, in order, the report last.

    Some of them only the data decide about, so a run has these or a part of them: `NN-embedded/...` (documents without
    a vector), splits of semdedup's clusters, rounds of minhash. repeats: at most so many splits and rounds; None is as
    many as there can be. A run that needs more of them than are named stops at the step's next stage and says so.
    Raises ValueError for negative repeats.
    """
    if repeats is not None and repeats < 0:
        raise ValueError(f"repeats must be at least 0, not {repeats}")
    most = max(MOST_SPLITS, MOST_ROUNDS) if repeats is None else repeats
    found = ["inventory", "documents"]
    embedded = False
    for name, step in named_steps(recipe.steps):
        if step.needs_vectors and not embedded:
            embedded = True
            found.append("embeddings")
        found += stages_of_step(name, step, splits=min(most, MOST_SPLITS), rounds=min(most, MOST_ROUNDS))
    return [*found, "decisions", "corpus", REPORT]


def named_steps(steps: Sequence[Step]) -> list[tuple[str, Step]]:
    """(name, step) of a recipe's steps, with the one that removes documents without a vector where there may be one."""
    if any(step.needs_vectors for step in steps):
        return with_embedded(steps)
    return [(f"{number:02d}-{step.step}", step) for number, step in enumerate(steps, start=1)]


def stages_of_step(name: str, step: Step, *, splits: int, rounds: int) -> Iterator[str]:
    """The stages of one step in order, with so many splits (of semdedup's clusters) and rounds (of minhash)."""
    for part in step.folders:
        yield f"{name}/{part}"
        if part == "centroids":
            yield from (f"{name}/refine-{number}/{part}" for number in range(1, getattr(step, "refine", 0) + 1))
        elif part == "clusters" and isinstance(step, SemDeDup):
            for number in range(1, splits + 1):
                yield from (f"{name}/split-{number}/{finer}" for finer in ("centroids", "clusters"))
        elif part == "links" and isinstance(step, MinHash):
            yield from (f"{name}/round-{number}" for number in range(1, rounds + 1))
