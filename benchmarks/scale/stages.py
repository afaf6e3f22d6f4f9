"""What the benchmarks of scale run in processes of their own: making a corpus, one stage of a run, a plain product."""

import contextlib
import time
from pathlib import Path
from typing import Any

KEEP = "0.5"


def make(path: str, template: bool, **corpus: Any) -> dict[str, float]:
    """Write a corpus of float16 vectors with sources."""
    from benchmarks import corpora

    started = time.monotonic()
    described = corpora.Vectors(**corpus, **(corpora.TEMPLATED if template else {}))
    corpora.write_vectors(path, described, type="float16", sources=True, files=max(8, corpus["documents"] // 250_000))
    return {"seconds": time.monotonic() - started}


def gemm(dimension: int) -> float:
    """Operations a core-second of plain float32 products of this inner dimension, all cores at work; best of five."""
    import numpy as np

    from sluice.models.arrays.parallel import cores, parallel

    size = 4096
    left, right = (np.random.default_rng(seed).random((size, dimension), np.float32) for seed in (0, 1))
    rates = []
    for _ in range(5):
        started = time.process_time()
        count = sum(1 for _ in parallel(lambda _: left @ right.T, range(2 * cores())))
        rates.append(2.0 * size * size * dimension * count / (time.process_time() - started))
    return max(rates)


def next_stage(path: str, run: str, clusters: int) -> dict[str, Any] | None:
    """measure_next of D4 over given vectors."""
    from sluice.pipelines.recipe.options import build_recipe

    options = {"text": "none", "id": "id", "vector": "embedding", "source": "source"}
    return measure_next(build_recipe(inputs=(path,), recipe="d4", keep=KEEP, clusters=str(clusters), **options), run)


def measure_next(recipe: Any, run: str) -> dict[str, Any] | None:
    """Run the first stage that is not finished, the report after the last one; None when everything is there."""
    from benchmarks.scale import counting
    from sluice.models.arrays import products
    from sluice.pipelines.report.report import make_report
    from sluice.pipelines.run.prepare import prepare
    from sluice.pipelines.run.runner import run_stage
    from sluice.transforms.stages import memory

    # Loading libraries is no part of any stage.
    products.default_engine()
    found, _ = prepare(recipe, run)
    stage = next((stage for stage in found.stages() if not stage.finished), None)
    if stage is None and (Path(run) / "report.json").exists():
        return None
    before, read, written = stored(run), *transferred()
    with counting.counted() as counts:
        started, used = time.monotonic(), time.process_time()
        if stage is None:
            make_report(found, [])
        else:
            run_stage(stage, found)
        seconds, core_seconds = time.monotonic() - started, time.process_time() - used
    return {
        "stage": "report" if stage is None else stage.name,
        "units": found.units,
        "worker_memory": getattr(getattr(stage, "transform", None), "worker_memory", memory.PROCESS),
        "seconds": seconds,
        "core_seconds": core_seconds,
        "products": {name: vars(product) for name, product in counts.products.items()},
        "shuffles": counts.shuffled,
        "shuffled_bytes": sum(one["bytes"] for one in counts.shuffled.values()),
        "stored_bytes": stored(run) - before,
        "read_bytes": transferred()[0] - read,
        "written_bytes": transferred()[1] - written,
    }


def stored(run: str) -> int:
    """Bytes in a run directory."""
    return sum(path.stat().st_size for path in Path(run).rglob("*") if path.is_file())


def transferred() -> tuple[int, int]:
    """Bytes that this process has read and written so far, from the page cache too; zeros where that is not told."""
    with contextlib.suppress(OSError):
        lines = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
        return int(lines["rchar"]), int(lines["wchar"])
    return 0, 0
