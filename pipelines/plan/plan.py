"""What a curation will take, before it runs: documents, time, memory, bytes and cost of every stage, as ranges.

    sluice plan --input corpus --keep 0.5
    sluice plan --input corpus --keep 0.5 --machine n2-standard-8 --workers 20 --run gs://bucket/runs/first
    sluice plan --print-prices > prices.yaml

The inputs are listed, pieces from all over them are copied to a temporary folder, and the run's own code works on that
sample: every stage of the recipe, timed at two sizes, and scaled by the law of its kind (docs/plan.md). Nothing else is
written, and no job is started elsewhere.
"""

import argparse
import tempfile
from collections import Counter
from collections.abc import Sequence
from typing import Any

from sluice.pipelines.plan import prices as plan_prices
from sluice.pipelines.plan.commands import launch, left_out
from sluice.pipelines.plan.cost import cost_all, make_fleets
from sluice.pipelines.plan.forecast import Facts, forecast_work, largest_clusters, survivors
from sluice.pipelines.plan.measure import choose_texts, export_share, measure_speed, read_documents
from sluice.pipelines.plan.model import EMBED_SECONDS, MOST_EMBEDDED, embed_texts
from sluice.pipelines.plan.notices import find_warnings
from sluice.pipelines.plan.page import render
from sluice.pipelines.plan.result import Plan
from sluice.pipelines.plan.sample import Sample, copy_sample, corpus_bytes
from sluice.pipelines.plan.trial import Trial, try_recipe
from sluice.pipelines.recipe.options import OPTIONS, add_options, build_recipe
from sluice.pipelines.recipe.recipe import Recipe
from sluice.pipelines.run.layout import named_steps
from sluice.pipelines.run.prepare import check
from sluice.pipelines.run.run import Run
from sluice.pipelines.terminal.printing import emit, write
from sluice.pipelines.terminal.progress import doing
from sluice.transforms.records.records import Unit

# Where no model runs, more documents cost little, and what each piece of a sample costs by itself weighs less.
SAMPLE, SAMPLE_WITHOUT_MODEL = 2000, 20_000
LEAST, MOST_SAMPLED = 50, 200_000
# Of the documents that the recipe is tried on, so many are taken for the smaller try.
SMALL_SHARE, MOST_SMALL = 8, 200


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--run", metavar="DIR", help="run directory, for the command that is printed")
    add_options(parser)
    group = parser.add_argument_group("plan")
    default = f"default: {SAMPLE}, {SAMPLE_WITHOUT_MODEL} where no model embeds"
    text = f"documents to look at, {LEAST} to {MOST_SAMPLED} ({default})"
    group.add_argument("--sample", type=int, metavar="N", help=text)
    text = "machines on Dataflow at most; processes on a machine of one's own (default: 1)"
    group.add_argument("--workers", type=int, default=1, metavar="N", help=text)
    text = "a machine of the price file: n2-standard-8, g2-standard-8, ... (default: here, this machine)"
    group.add_argument("--machine", default=plan_prices.HERE, metavar="NAME", help=text)
    group.add_argument("--prices", metavar="FILE", help="machines and prices (default: those shipped; check them)")
    group.add_argument("--print-prices", action=PrintPrices, help="print the shipped price file, to edit, and stop")
    group.add_argument("--json", action="store_true", help="print JSON")


class PrintPrices(argparse.Action):
    """Like --help, it needs no other option."""

    def __init__(self, option_strings: Sequence[str], dest: str, help: str | None = None):
        super().__init__(option_strings, dest, nargs=0, help=help)

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        write(plan_prices.SHIPPED.read_text(encoding="utf-8").rstrip())
        parser.exit()


def run(args: argparse.Namespace, beam_args: Sequence[str] = ()) -> int:
    if args.sample is not None and not LEAST <= args.sample <= MOST_SAMPLED:
        raise ValueError(f"--sample is from {LEAST} to {MOST_SAMPLED}, not {args.sample}")
    if not 1 <= args.workers <= 100_000:
        raise ValueError(f"--workers is from 1 to 100000, not {args.workers}")
    given = {option.name: getattr(args, option.name) for option in OPTIONS if option.name != "input"}
    recipe = build_recipe(recipe=args.recipe, inputs=args.input, **given)
    prices = plan_prices.read_prices(args.prices)
    machine = prices.machine(args.machine)
    rest = machine if machine.rest is None else prices.machine(machine.rest)
    # Before the work, since a command that would be refused is a reason to stop.
    commands = launch(args, beam_args, recipe=recipe, machine=machine, rest=rest)
    found = plan(recipe, prices=prices, machine=args.machine, workers=args.workers, sample=args.sample, run=args.run)
    found |= {"commands": commands, "left_out": left_out(args, recipe, machine)}
    emit(found, render(found), as_json=args.json)
    return 0


def plan(
    recipe: Recipe,
    *,
    prices: plan_prices.PriceFile,
    machine: str = plan_prices.HERE,
    workers: int = 1,
    sample: int | None = None,
    run: str | None = None,
) -> dict[str, Any]:
    """Everything that the command prints, but for its commands; ranges are {low, likely, high}.

    Takes a minute or two where a model embeds, 10 to 30 seconds otherwise. Raises ValueError and FileNotFoundError as
    `curate --prepare` does, and ValueError where the sample holds no document.
    """
    planned = Run(run or "runs/planned", recipe)
    check(planned)
    units = planned.inputs.plan()
    speed = measure_speed()
    row = speed.machine(prices.machine(machine))
    fleets = make_fleets(prices, machine, row, workers)
    embeds = recipe.needs_vectors and recipe.input.vector is None
    with tempfile.TemporaryDirectory(prefix="sluice-plan-") as folder:
        records = sample or (SAMPLE if embeds else SAMPLE_WITHOUT_MODEL)
        with doing(f"a sample of {len(units):,} units"):
            copied = copy_sample(units, folder, seed=recipe.seed, records=records)
        facts = _find_facts(planned, units, copied, folder, records)
        # Here, because transforms read what the trial left behind.
        found = Plan(facts, fleets, cost_all(forecast_work(facts), fleets), largest_clusters(facts), units)
    return found.as_json() | {"warnings": find_warnings(found)}


def _find_facts(run: Run, units: Sequence[Unit], sample: Sample, folder: str, records: int) -> Facts:
    """The sample measured: everything that a plan's arithmetic starts from."""
    recipe, size = run.recipe, corpus_bytes(units)
    with doing("reading the sample"):
        counted, documents = read_documents(run, sample, f"{folder}/read", total_bytes=size)
    model, most = None, records
    if recipe.needs_vectors and recipe.input.vector is None:
        with doing("embedding some of the sample"):
            model = embed_texts(run, choose_texts(run, sample, MOST_EMBEDDED))
        most = min(records, max(int(model.documents_per_second * EMBED_SECONDS), LEAST))
    most = min(most, counted.total("documents"))
    trials = []
    # The first one meets what a process does once, and is not looked at. What is tried whole needs no other size.
    less = min(most // SMALL_SHARE, MOST_SMALL)
    whole = sample.everything and most == counted.total("documents")
    for number, count in enumerate((most,) if whole else (less, less, most)):
        with doing(f"the recipe on {count:,} documents"):
            corpus = f"{folder}/trial-{number}"
            export_share(run, sample, documents, corpus, share=count / counted.total("documents"))
            share = count / max(counted.documents.likely, 1.0)
            trials.append(try_recipe(recipe, corpus, f"{folder}/run-{number}", share=share))
    *_, small, trial = [Trial(), *trials]
    steps = [(name, step) for name, step in named_steps(recipe.steps) if not name.endswith("-embedded")]
    alive = survivors(steps, counted, trial, everything=sample.everything)
    with doing("copying documents out"):
        kept = min(list(alive.values())[-1].after.likely / max(counted.documents.likely, 1.0), 1.0)
        exported = export_share(run, sample, documents, f"{folder}/corpus", share=kept)
    return Facts(
        recipe=recipe,
        everything=sample.everything,
        units=len(units),
        largest_unit=_largest_share(units),
        files=len({span.path for unit in units for span in unit.spans}),
        counted=counted,
        small=small,
        trial=trial,
        model=model,
        exported=exported,
        speed=measure_speed(),
        steps=alive,
    )


def _largest_share(units: Sequence[Unit]) -> float:
    """The largest unit's share of all bytes; a file that is cut counts evenly in each of its parts."""
    cuts = Counter(span.path for unit in units for span in unit.spans)
    sizes = [sum(span.size / cuts[span.path] for span in unit.spans) for unit in units]
    return max(sizes) / max(sum(sizes), 1.0)
