"""The command line.

    sluice sample-corpus sample --documents 2000
    sluice curate --input sample --run runs/first --recipe d4 --keep 0.5
    sluice explain runs/first DOCUMENT
    sluice curate --input gs://bucket/corpus --run gs://bucket/runs/first --keep-tokens 10B \\
        --runner DataflowRunner --project P --region R --temp_location gs://bucket/tmp --sdk_container_image IMAGE
"""

import argparse
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from sluice.pipelines.commands import (
    check,
    clusters,
    compare_embedders,
    distill,
    explain,
    preview,
    recipes,
    sample_corpus,
)
from sluice.pipelines.plan import plan
from sluice.pipelines.recipe.options import OPTIONS, add_options, build_recipe
from sluice.pipelines.run.resources import check_beam_args
from sluice.pipelines.status import status
from sluice.pipelines.terminal.exits import exit_code
from sluice.pipelines.terminal.printing import one_line, show
from sluice.pipelines.terminal.standard_streams import make_usable, to_stderr, to_stdout

EXAMPLES = {
    "curate": """\
examples:
  sluice curate --input sample --run runs/first                     half of the documents, by D4
  sluice curate --input 'data/*.jsonl.zst' --id doc_id --run runs/b --keep-tokens 250M
  sluice curate --input docs.parquet --vector embedding --text none --run runs/c --recipe semdedup --eps 0.05
  sluice curate --input data --run runs/d --recipe my-recipe.yaml --runner FlinkRunner --flink_master HOST:8081

The same command again goes on where it was cut off; with another target it does only what depends on it.
All flags of Beam's runners pass through.""",
    "stage": """\
stages, in order: inventory documents 01-exact/copies 01-exact/scores 01-exact/keep embeddings 02-semdedup/copies ...
(`sluice status RUN` lists those of a run). The run directory must hold a recipe.yaml: `sluice curate --prepare`
writes one.""",
}


class Parser(argparse.ArgumentParser):
    """Repeats what was given in characters that a terminal does not obey."""

    def error(self, message: str) -> NoReturn:
        super().error(one_line(message))

    def print_help(self, file: Any = None) -> None:
        with to_stdout():
            super().print_help(file)


def parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    top = Parser(
        prog="sluice",
        description="Makes language-model training corpora smaller and better: near-duplicates in meaning go, then the "
        "over-represented rest, to an exact target.",
        epilog="Try: sluice sample-corpus sample --documents 2000, then sluice curate --input sample --run runs/first",
        allow_abbrev=False,
    )
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    _add_curate(_command(commands, "curate", "the whole curation: documents in, a curated corpus and a report out"))
    _add_stage(_command(commands, "stage", "one stage of a run as one job (what templates and schedulers start)"))
    for name, module, text in (
        ("explain", explain, "why a document was kept or went, next to the text it resembles"),
        ("plan", plan, "what a curation will take, before it runs: time, memory, storage, cost, and how to start it"),
        ("preview", preview, "what each threshold would keep, with pairs just either side of it"),
        ("clusters", clusters, "how even, how tight and how stable the clusters of a run are"),
        ("status", status, "what a run has finished so far"),
        ("check", check, "whether a run's files are what was written; removes what must be made again"),
        ("recipes", recipes, "every preset and every step, with its paper and its options"),
        ("compare-embedders", compare_embedders, "what a faster way of embedding costs: speed against agreement"),
        ("sample-corpus", sample_corpus, "make a real corpus out of the docstrings of installed packages"),
        ("distill", distill, "make a token table out of an embedder: hundreds of times faster, and coarser"),
    ):
        command = _command(commands, name, text)
        module.add_arguments(command)
        command.set_defaults(run_command=module.run)
    return top


def _command(commands: "argparse._SubParsersAction", name: str, text: str) -> argparse.ArgumentParser:
    return commands.add_parser(
        name,
        help=text,
        description=text[0].upper() + text[1:] + ".",
        epilog=EXAMPLES.get(name),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def _add_curate(command: argparse.ArgumentParser) -> None:
    command.add_argument("--run", required=True, metavar="DIR", help="run directory: a local path or an fsspec URL")
    command.add_argument(
        "--prepare",
        action="store_true",
        help="check everything, write recipe.yaml into the run directory, and stop there",
    )
    _add_verbose(command)
    add_options(command)
    command.set_defaults(run_command=_curate)


def _add_stage(command: argparse.ArgumentParser) -> None:
    command.add_argument("stage", metavar="STAGE", help="the stage's name; those before it must be finished")
    command.add_argument("--run", required=True, metavar="DIR", help="run directory with a recipe.yaml")
    _add_verbose(command)
    command.set_defaults(run_command=_stage)


def _add_verbose(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--verbose",
        action="store_true",
        help="a line for each unit on a terminal too, in place of the moving one, and the traceback of what failed",
    )


def _curate(args: argparse.Namespace, beam_args: Sequence[str]) -> int:
    from sluice.pipelines.curate import run_all
    from sluice.pipelines.report.report import summary
    from sluice.pipelines.run.holding import holding
    from sluice.pipelines.run.prepare import checked, write_recipe

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


def _stage(args: argparse.Namespace, beam_args: Sequence[str]) -> int:
    from sluice.pipelines.report.report import make_report
    from sluice.pipelines.run.prepare import open_run
    from sluice.pipelines.run.runner import run_stages

    run = open_run(args.run)
    if args.stage == "report":
        make_report(run, [])
    else:
        run_stages(run, beam_args, only=args.stage)
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; 0 when it worked, 1 when it failed, 2 when it was asked for wrongly."""
    make_usable()
    args, beam_args = parser().parse_known_args(argv)
    if args.command == "explain" and args.document is None and beam_args and beam_args[:-1] in ([], ["--"]):
        # An id may begin with a dash, as a video's does; argparse leaves the -- before it where an option came first.
        args.document, beam_args = beam_args[-1], []
    # A plan runs nothing: Beam's flags go into the command that it prints.
    takes_beam = args.command in ("curate", "stage", "plan")

    def run_command() -> int:
        if beam_args and not takes_beam:
            raise ValueError(f"sluice {args.command} does not take {' '.join(beam_args)}")
        check_beam_args(beam_args)
        return args.run_command(args, beam_args) if takes_beam else args.run_command(args)

    resumes = args.command in ("curate", "stage")
    return exit_code(run_command, verbose=getattr(args, "verbose", False), resumes=resumes)


if __name__ == "__main__":
    sys.exit(main())
