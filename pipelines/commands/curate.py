"""The whole curation: documents in, a curated corpus and a report out."""

import argparse
from collections.abc import Sequence

from sluice.pipelines.curate import run_all
from sluice.pipelines.recipe.options import OPTIONS, add_options, build_recipe
from sluice.pipelines.report.report import summary
from sluice.pipelines.run.holding import holding
from sluice.pipelines.run.prepare import checked, write_recipe
from sluice.pipelines.terminal.printing import one_line, show
from sluice.pipelines.terminal.standard_streams import to_stderr

EPILOG = """\
examples:
  sluice curate --input sample --run runs/first                     half of the documents, by D4
  sluice curate --input 'data/*.jsonl.zst' --id doc_id --run runs/b --keep-tokens 250M
  sluice curate --input docs.parquet --vector embedding --text none --run runs/c --recipe semdedup --eps 0.05
  sluice curate --input data --run runs/d --recipe my-recipe.yaml --runner FlinkRunner --flink_master HOST:8081

The same command again goes on where it was cut off; with another target it does only what depends on it.
All flags of Beam's runners pass through."""
VERBOSE = "a line for each unit on a terminal too, in place of the moving one, and the traceback of what failed"


def add_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("--run", required=True, metavar="DIR", help="run directory: a local path or an fsspec URL")
    command.add_argument(
        "--prepare",
        action="store_true",
        help="check everything, write recipe.yaml into the run directory, and stop there",
    )
    command.add_argument("--verbose", action="store_true", help=VERBOSE)
    add_options(command)


def run(args: argparse.Namespace, beam_args: Sequence[str]) -> int:
    given = {option.name: getattr(args, option.name) for option in OPTIONS if option.name != "input"}
    recipe = build_recipe(recipe=args.recipe, inputs=args.input, **given)
    run = checked(recipe, args.run)
    with holding(run.url, recipe):
        for change in write_recipe(run):
            to_stderr(one_line(f"sluice: {change}"))
        if args.prepare:
            return 0
        report, timings = run_all(run, beam_args)
    if all(timing.skipped for timing in timings):
        to_stderr(one_line(f"sluice: {run.url} is finished; nothing had to be done"))
    show(summary(report))
    return 0
