"""A step from its first stage to its cut: who is left, and what was decided."""

from collections.abc import Generator
from dataclasses import asdict

from sluice.models.cut import select
from sluice.pipelines.base.step import Step
from sluice.pipelines.base.work import Scored, Stage, Work
from sluice.transforms.outcome.cut import MakeCut, Ranked
from sluice.transforms.outcome.decisions import DecidedStep
from sluice.transforms.stages.artifacts import Artifact


class UnreachableTarget(ValueError):
    """A step cannot remove as much as its cut asks for."""


def step_stages(step: Step, work: Work) -> Generator[Stage, None, DecidedStep]:
    """All stages of a step in order, each asked for when those before it are finished; returns what it decided."""
    scored = yield from step.stages(work)
    by, target = "documents", None
    if scored.threshold is None:
        by, target = work.by_and_target
        _check_reachable(step, work, scored.artifact, by, target)
    keep = work.artifact("keep", MakeCut, [by, target, scored.threshold], work.documents, scored.artifact)
    yield work.stage("keep", keep, _cut(work, scored, keep, by, target))
    threshold = scored.threshold
    if threshold is None:
        # The lowest score that was removed: what the target came out as.
        threshold = keep.manifest["totals"].get("min_removed_score")
    return DecidedStep(
        work.name,
        scored.artifact,
        keep,
        scale=float(scored.scale),
        threshold=None if threshold is None else threshold / scored.scale,
        clusters=scored.clusters,
        before=work.before,
    )


def _cut(work: Work, scored: Scored, keep: Artifact, by: str, target: int | None) -> MakeCut:
    found = scored.artifact.manifest["totals"]
    scale = select.Scale.of(found.get("min_score"), found.get("max_score"))
    return MakeCut(
        work.inventory,
        keep,
        Ranked(work.documents, scored.artifact, work.seed, by, scale),
        most=target,
        threshold=scored.threshold,
        documents=found["alive"],
        shown_scale=scored.scale,
    )


def _check_reachable(step: Step, work: Work, scored: Artifact, by: str, target: int) -> None:
    scores = scored.manifest["totals"]
    suffix = "" if by == "documents" else "_tokens"
    everything = work.documents.manifest["totals"][by]
    alive, removable = scores[f"alive{suffix}"], scores[f"removable{suffix}"]
    if target < alive - removable:
        guarded = [f"{name} {', '.join(sources)}" for name, sources in asdict(step.guard).items() if sources]
        raise UnreachableTarget(
            f"step {work.name} cannot go down to {target:,} of {everything:,} {by} "
            f"({target / everything:.1%}): of the {alive:,} still in it can remove {removable:,}, so it can keep "
            f"from {(alive - removable) / everything:.1%} ({alive - removable:,}) "
            f"to {alive / everything:.1%} ({alive:,})"
            + (f"; its sources, which must be spelt as the documents' are: {'; '.join(guarded)}" if guarded else "")
        )
