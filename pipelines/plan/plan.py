"""What a curation will take, before it runs: documents, time, memory, bytes and cost of every stage, as ranges.

    sluice plan --input corpus --keep 0.5
    sluice plan --input corpus --keep 0.5 --machine n2-standard-8 --workers 20 --run gs://bucket/runs/first
    sluice plan --print-prices > prices.yaml

The inputs are listed, pieces from all over them are copied to a temporary folder, and the run's own code works on that
sample: it reads, counts tokens, embeds and copies out. Everything else comes from rates that were measured before
(docs/plan.md). Nothing is written, and no job is started.
"""

import argparse
from collections.abc import Sequence
from typing import Any

from sluice.pipelines.plan import prices as plan_prices
from sluice.pipelines.plan.clusters import largest_clusters
from sluice.pipelines.plan.commands import launch, left_out
from sluice.pipelines.plan.cost import cost_all, make_fleets
from sluice.pipelines.plan.facts import find_facts
from sluice.pipelines.plan.machine import measure_speed
from sluice.pipelines.plan.notices import find_warnings
from sluice.pipelines.plan.page import render
from sluice.pipelines.plan.rates import load_constants
from sluice.pipelines.plan.result import Plan
from sluice.pipelines.plan.run_stages import forecast_work
from sluice.pipelines.recipe.options import OPTIONS, add_options, build_recipe
from sluice.pipelines.recipe.recipe import Recipe
from sluice.pipelines.run.prepare import check
from sluice.pipelines.run.run import Run
from sluice.pipelines.terminal.printing import emit, write

# Where no model runs, more documents cost little, and what each piece of a sample costs by itself weighs less.
SAMPLE, SAMPLE_WITHOUT_MODEL = 2000, 20_000
LEAST, MOST_SAMPLED = 50, 200_000


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
    text = "folder of the flex templates (gs://...): print their calls instead of sluice commands"
    group.add_argument("--templates", metavar="URL", help=text)
    text = "folder of those for an accelerator's image (default: that of --templates and -gpu, or -tpu)"
    group.add_argument("--accelerator-templates", metavar="URL", help=text)
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
    if args.templates and machine.kind != "dataflow":
        raise ValueError(f"--templates are for Dataflow, and {args.machine} is a machine of one's own")
    if args.accelerator_templates and not args.templates:
        raise ValueError(f"--accelerator-templates {args.accelerator_templates} goes with --templates")
    for flag, url in (("--templates", args.templates), ("--accelerator-templates", args.accelerator_templates)):
        if url and not url.startswith("gs://"):
            raise ValueError(f"{flag} is a folder as gs://bucket/templates, not {url!r}")
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

    Takes about a minute where a model embeds the sample, seconds otherwise. Raises ValueError and FileNotFoundError as
    `curate --prepare` does, and ValueError where the sample holds no document.
    """
    planned = Run(run or "runs/planned", recipe)
    check(planned)
    units = planned.inputs.plan()
    constants, speed = load_constants(), measure_speed()
    row = speed.machine(prices.machine(machine), constants["loop_seconds"])
    embeds = recipe.needs_vectors and recipe.input.vector is None
    default = SAMPLE if embeds else SAMPLE_WITHOUT_MODEL
    facts = find_facts(planned, units, records=sample or default, constants=constants, speed=speed)
    fleets = make_fleets(prices, machine, row, workers)
    costs = cost_all(forecast_work(facts), fleets)
    found = Plan(facts, fleets, costs, largest_clusters(facts), units)
    return found.as_json() | {"warnings": find_warnings(found)}
