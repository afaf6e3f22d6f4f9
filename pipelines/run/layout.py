"""Every stage of a recipe in order, from the layouts of its steps: what may be, and what a run has."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from sluice.pipelines.base.layout import Condition, Slot
from sluice.pipelines.base.step import Step
from sluice.pipelines.recipe.recipe import Recipe
from sluice.pipelines.run.embedded import with_embedded

REPORT = "report"
BEFORE = (Slot("inventory", "one", law="fixed"), Slot("documents"))
EMBEDDINGS = Slot("embeddings")
AFTER = (Slot("decisions"), Slot("corpus/_parts"))


@dataclass(frozen=True)
class Listed:
    """A stage of a recipe: its name, its folder in the run, and of a step's stage the step and its name."""

    name: str
    folder: str
    slot: Slot
    step: Step | None = None
    step_name: str | None = None

    @property
    def only_if(self) -> Condition | None:
        """The slot's condition, with the folder as it is in the run."""
        condition = self.slot.only_if
        return None if condition is None else condition._replace(folder=condition.folder.format(step=self.step_name))


def list_stages(
    steps: Iterable[tuple[str, Step]], slots: Callable[[str, Step], Iterable[Slot]] = lambda name, step: step.layout()
) -> Iterator[Listed]:
    """The stages of named steps in order, with those before and after all steps, but without the report."""
    for slot in BEFORE:
        yield Listed(slot.folder, slot.folder, slot)
    embedded = False
    for name, step in steps:
        if step.needs_vectors and not embedded:
            embedded = True
            yield Listed(EMBEDDINGS.folder, EMBEDDINGS.folder, EMBEDDINGS)
        for slot in slots(name, step):
            yield Listed(f"{name}/{slot.folder}", f"steps/{name}/{slot.folder}", slot, step, name)
    for slot in AFTER:
        yield Listed(slot.folder.removesuffix("/_parts"), slot.folder, slot)


def recipe_stages(recipe: Recipe, *, repeats: int | None = None) -> list[Listed]:
    """Every stage that a run of the recipe may have, in order, without the report.

    Some of them only the data decide about, so a run has these or a part of them: `NN-embedded/...` (documents without
    a vector), splits of semdedup's clusters, rounds of minhash. repeats: at most so many splits and rounds; None is as
    many as there can be. A run that needs more of them than are named stops at the step's next stage and says so.
    Raises ValueError for negative repeats.
    """
    if repeats is not None and repeats < 0:
        raise ValueError(f"repeats must be at least 0, not {repeats}")
    found = list(list_stages(named_steps(recipe.steps)))
    return [stage for stage in found if repeats is None or stage.slot.repeat <= repeats]


def stage_names(recipe: Recipe, *, repeats: int | None = None) -> list[str]:
    """The names of recipe_stages, and the report's."""
    return [*(stage.name for stage in recipe_stages(recipe, repeats=repeats)), REPORT]


def named_steps(steps: Sequence[Step]) -> list[tuple[str, Step]]:
    """(name, step) of a recipe's steps, with the one that removes documents without a vector where there may be one."""
    if any(step.needs_vectors for step in steps):
        return with_embedded(steps)
    return [(f"{number:02d}-{step.step}", step) for number, step in enumerate(steps, start=1)]
