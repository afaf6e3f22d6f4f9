"""What Sluice's DAGs share: settings, the stages of each recipe, and which of them a run needs.

Airflow's environment has neither Sluice nor its libraries: no module here imports it, and none reads the network when
Airflow reads the files. Settings are in the section [sluice] of airflow.cfg, or AIRFLOW__SLUICE__NAME.
"""

import json
import re
from pathlib import Path
from typing import Any

import yaml
from airflow.sdk import ObjectStoragePath, conf


def setting(name: str, default: str | None = None) -> str | None:
    return conf.get("sluice", name, fallback=default)


# Stages ---------------------------------------------------------------------------------------------------------
# What `sluice recipes --stages NAME` prints; tests compare the two.

SPLITS = 2
STAGES_OF_STEP = {
    "exact": ("copies", "scores", "keep"),
    "embedded": ("scores", "keep"),
    "semdedup": (
        *("copies", "centroids", "clusters"),
        *(f"split-{number}/{part}" for number in range(1, SPLITS + 1) for part in ("centroids", "clusters")),
        *("scores", "keep"),
    ),
    "prototypes": ("centroids", "clusters", "scores", "keep"),
    "density": ("centroids", "clusters", "scores", "keep"),
    "scip": ("centroids", "clusters", "scores", "keep"),
    "quality": ("weights", "scores", "keep"),
    "random": ("scores", "keep"),
    "reference": ("centroids", "run-1/clusters", "clusters", "scores", "keep"),
}
WITHOUT_VECTORS = {"exact", "quality", "random"}
PRESETS = {
    "d4": ("exact", "semdedup", "prototypes"),
    "semdedup": ("exact", "semdedup"),
    "density": ("exact", "semdedup", "density"),
    "code": ("exact", "scip"),
    "quality": ("exact", "quality"),
    "prototypes": ("prototypes",),
    "random": ("random",),
}


def stages_of(*steps: str) -> list[str]:
    """The stages of a recipe of these steps, in order."""
    stages = ["inventory", "documents"]
    embedded = False
    for number, step in enumerate(steps, start=1):
        if step not in WITHOUT_VECTORS and not embedded:
            embedded = True
            stages += ["embeddings", *(f"{number:02d}-embedded/{part}" for part in STAGES_OF_STEP["embedded"])]
        stages += [f"{number:02d}-{step}/{part}" for part in STAGES_OF_STEP[step]]
    return [*stages, "decisions", "corpus", "report"]


def recipes() -> dict[str, dict[str, Any]]:
    """{name: {recipe, stages}}: the presets, and your own from the file that the setting `recipes` names."""
    found = {name: {"recipe": name, "stages": stages_of(*steps)} for name, steps in PRESETS.items()}
    own = setting("recipes")
    return found | (json.loads(Path(own).read_text(encoding="utf-8")) if own else {})


# Stages that only the data decide about --------------------------------------------------------------------------


def storage_path(url: str) -> ObjectStoragePath:
    """A file or folder; only tasks may look into it."""
    connection = setting("gcp_conn_id", "google_cloud_default") if url.startswith("gs://") else None
    return ObjectStoragePath(url if "://" in url else f"file://{url}", conn_id=connection)


def is_needed(stage: str, run: str) -> bool:
    """Whether a run whose earlier stages are finished has documents without a vector, or clusters to split."""
    step, _, rest = stage.partition("/")
    if step.endswith("-embedded"):
        return bool(_totals(f"{run}/embeddings").get("without_vector"))
    split = re.match(r"split-(\d+)/", rest)
    if split is None:
        return True
    options = yaml.safe_load(storage_path(f"{run}/recipe.yaml").read_text())["steps"][int(step[:2]) - 1]
    folder = f"{run}/steps/{step}"
    for number in range(int(split[1])):
        before = folder if number == 0 else f"{folder}/split-{number}"
        # A vector of int16, and 20 bytes about its document.
        record = 2 * _totals(f"{folder}/centroids")["dimension"] + 20
        if _totals(f"{before}/clusters")["largest_representatives"] <= max(options["bin_bytes"] // record, 1):
            return False
    return True


def _totals(artifact: str) -> dict[str, Any]:
    return json.loads(storage_path(f"{artifact}/manifest.json").read_text())["totals"]
