"""One stage of a run as one job: what templates and schedulers start."""

import argparse
from collections.abc import Sequence

from sluice.pipelines.commands.curate import VERBOSE
from sluice.pipelines.report.report import make_report
from sluice.pipelines.run.prepare import open_run
from sluice.pipelines.run.runner import run_stages

EPILOG = """\
stages, in order: inventory documents 01-exact/copies 01-exact/scores 01-exact/keep embeddings 02-semdedup/copies ...
(`sluice status RUN` lists those of a run). The run directory must hold a recipe.yaml: `sluice curate --prepare`
writes one."""


def add_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("stage", metavar="STAGE", help="the stage's name; those before it must be finished")
    command.add_argument("--run", required=True, metavar="DIR", help="run directory with a recipe.yaml")
    command.add_argument("--verbose", action="store_true", help=VERBOSE)


def run(args: argparse.Namespace, beam_args: Sequence[str]) -> int:
    run = open_run(args.run)
    if args.stage == "report":
        make_report(run, [])
    else:
        run_stages(run, beam_args, only=args.stage)
    return 0
