"""Centroids of a finished run: found by the run, by a step of it or by their own folder."""

from sluice.pipelines.run.finished import RECIPE, Finished
from sluice.transforms import storage
from sluice.transforms.clusters.fit import UnfitCentroids, open_centroids
from sluice.transforms.stages.artifacts import Artifact
from sluice.transforms.stages.manifests import MANIFEST


def find_centroids(url: str, step: str) -> Artifact:
    """The centroids at `url`: a run directory (its only step of the kind `step`), a step's folder, or their own.

    Of a run or a step they are those that its documents were assigned to in the end. Raises UnfitCentroids.
    """
    url = url.rstrip("/")
    if storage.exists(storage.join(url, MANIFEST)):
        return open_centroids(url)
    root, _, below = url.rpartition("/steps/")
    try:
        if storage.exists(storage.join(url, RECIPE)):
            run = Finished(url)
            names = [name for name in run.steps if name.partition("-")[2] == step]
            if len(names) != 1:
                raise UnfitCentroids(
                    f"{url} has {len(names)} steps {step} ({', '.join(run.steps)}): name the folder of one, as "
                    f"{url}/steps/{names[0] if names else run.steps[-1]}"
                )
            return _of_step(run, names[0])
        if root and "/" not in below:
            return _of_step(Finished(root), below)
    except (FileNotFoundError, ValueError) as error:
        raise UnfitCentroids(f"centroids {url}: {error}") from error
    raise UnfitCentroids(f"{url} is no run, no step of one, and no centroids folder")


def _of_step(run: Finished, name: str) -> Artifact:
    if not run.options(name).over_clusters:
        raise UnfitCentroids(f"step {name} has no clusters")
    # A step that is under way may still split its clusters.
    run.artifact(f"steps/{name}/keep")
    return run.centroids(name)
