"""List the inputs, sample them, measure the sample: everything that a plan's arithmetic starts from."""

import tempfile
from collections import Counter
from collections.abc import Sequence
from typing import Any

from sluice.models.checkpoints.files import weight_bytes
from sluice.models.forecast.clusters import MOST, Skew, measure_skew
from sluice.pipelines.plan import measure
from sluice.pipelines.plan.embed import Embedded, Given, embed_texts, read_vectors
from sluice.pipelines.plan.machine import Speed
from sluice.pipelines.plan.rates import Rates
from sluice.pipelines.plan.sample import copy_sample, corpus_bytes
from sluice.pipelines.plan.survivors import survivors
from sluice.pipelines.plan.work import Facts
from sluice.pipelines.recipe.recipe import Recipe
from sluice.pipelines.run.layout import named_steps, stage_names
from sluice.pipelines.run.run import Run
from sluice.pipelines.terminal.progress import doing
from sluice.transforms.records.records import Unit

# Where no vectors are looked at, as many numbers as the default model's have.
USUAL_DIMENSION = 384


def planned_stages(recipe: Recipe) -> list[str]:
    """Those that every run of the recipe has, in order."""
    return [name for name in stage_names(recipe, repeats=0) if "-embedded/" not in name]


def find_facts(run: Run, units: Sequence[Unit], *, records: int, constants: dict[str, Any], speed: Speed) -> Facts:
    """Read about `records` documents from all over the units. Raises ValueError where none can be used."""
    recipe = run.recipe
    with tempfile.TemporaryDirectory(prefix="sluice-plan-") as folder:
        with doing(f"a sample of {len(units):,} units"):
            sample = copy_sample(units, folder, seed=recipe.seed, records=records)
        work = f"{folder}/run"
        with doing("reading the sample"):
            counted, documents = measure.read_documents(
                run, sample, work, total_bytes=corpus_bytes(units), texts=records
            )
        vectors: Embedded | Given | None = None
        if recipe.needs_vectors and recipe.input.vector is not None:
            with doing("reading vectors"):
                vectors = read_vectors(run, sample, work, documents, most=MOST)
        elif recipe.needs_vectors:
            with doing("embedding some of the sample"):
                vectors = embed_texts(run, counted.texts)
        with doing("what each step leaves"):
            alive = survivors(recipe, counted, everything=sample.everything)
        share = min(alive[-1].after.likely / max(counted.documents.likely, 1.0), 1.0)
        with doing("copying documents out"):
            exported = measure.export_sample(run, sample, work, documents, share=share)
    dimension = USUAL_DIMENSION if vectors is None else vectors.dimension
    steps = [(name, step) for name, step in named_steps(recipe.steps) if not name.endswith("-embedded")]
    return Facts(
        recipe=recipe,
        names=planned_stages(recipe),
        everything=sample.everything,
        units=len(units),
        largest_unit=largest_share(units),
        files=len({span.path for unit in units for span in unit.spans}),
        counted=counted,
        alive=alive,
        rates=Rates(constants, dimension),
        dimension=dimension,
        vectors=vectors,
        weights=weight_bytes(run.model) if isinstance(vectors, Embedded) else 0,
        exported=exported,
        skew=_skew(vectors),
        speed=constants["loop_seconds"] / speed.loop_seconds,
        plain_flops=speed.flops,
        steps={name: (step, one) for (name, step), one in zip(steps, alive, strict=True)},
    )


def largest_share(units: Sequence[Unit]) -> float:
    """The largest unit's share of all bytes; a file that is cut counts evenly in each of its parts."""
    cuts = Counter(span.path for unit in units for span in unit.spans)
    sizes = [sum(span.size / cuts[span.path] for span in unit.spans) for unit in units]
    return max(sizes) / max(sum(sizes), 1.0)


def _skew(vectors: Embedded | Given | None) -> Skew | None:
    return None if vectors is None else measure_skew(vectors.vectors)
