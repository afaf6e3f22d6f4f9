"""Where earlier runs' documents are assigned to clusters already, so that a chain of runs assigns each of them once.

Day after day compares with all days before: if every day assigned all of them again, work and storage would grow with
the square of the days.
"""

from collections.abc import Sequence

from sluice.pipelines.base.runs import FinishedRun, keyed
from sluice.transforms.clusters.adopted import AdoptCentroids
from sluice.transforms.clusters.assign import AssignClusters
from sluice.transforms.clusters.members import Members
from sluice.transforms.scores.earlier import Earlier
from sluice.transforms.stages.artifacts import Artifact, Maker


def find_assigned(run: FinishedRun, kept: Members, *, adopted: str, among: Sequence[FinishedRun]) -> Earlier | None:
    """The documents that `run` kept, as a reference step of one of the runs `among` assigned them; None: none did.

    adopted: content digest of the centroids they must be assigned to. Nothing counts but what has the key that its
    inputs give it now, so an assignment from before its run changed is no match.
    """
    for name, _ in _reference_steps(run):
        centroids = _current(run, name, "centroids", AdoptCentroids, ["adopted", adopted])
        place = run.steps.index(name)
        before = None if place == 0 else run.find(f"steps/{run.steps[place - 1]}/keep")
        if centroids is not None and (place == 0 or before is not None):
            own = _current(
                run, name, "clusters", AssignClusters, None, centroids, kept.documents, kept.embeddings, before
            )
            if own is not None:
                return Earlier(own, kept)
    for other in among:
        for name, runs in _reference_steps(other):
            if run.url not in runs:
                continue
            centroids = _current(other, name, "centroids", AdoptCentroids, ["adopted", adopted])
            if centroids is not None:
                folder = f"run-{runs.index(run.url) + 1}/clusters"
                inputs = centroids, kept.documents, kept.embeddings, kept.keep
                found = _current(other, name, folder, AssignClusters, None, *inputs)
                if found is not None:
                    return Earlier(found)
    return None


def _reference_steps(run: FinishedRun) -> list[tuple[str, tuple[str, ...]]]:
    """(name, runs) of a run's reference steps."""
    return [(name, step.other_runs) for name, step in zip(run.steps, run.all_options) if step.other_runs]


def _current(
    run: FinishedRun, step: str, folder: str, maker: type[Maker], config: object, *inputs: Artifact | None
) -> Artifact | None:
    """A finished artifact of a step of `run`, if it has the key that a run of its recipe would give it."""
    wanted = keyed(run.url, f"steps/{step}/{folder}", maker, [config, run.recipe.seed], *inputs)
    return wanted if wanted.finished else None
