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
from importlib import import_module, metadata
from typing import Any, NamedTuple, NoReturn

from sluice.pipelines.terminal.exits import exit_code
from sluice.pipelines.terminal.printing import one_line
from sluice.pipelines.terminal.standard_streams import make_usable, to_stdout


class Command(NamedTuple):
    """module: offers add_arguments(parser), run(args) and where it wants one an EPILOG; in pipelines/."""

    name: str
    module: str
    help: str
    takes_beam: bool = False  # run(args, beam_args) takes the flags of Beam's runners


COMMANDS = (
    Command("curate", "commands.curate", "the whole curation: documents in, a curated corpus and a report out", True),
    Command("stage", "commands.stage", "one stage of a run as one job (what templates and schedulers start)", True),
    Command("explain", "commands.explain.command", "why a document was kept or went, next to the text it resembles"),
    # A plan runs nothing: Beam's flags go into the command that it prints.
    Command(
        "plan",
        "plan.plan",
        "what a curation will take, before it runs: time, memory, storage, cost, and how to start it",
        True,
    ),
    Command("report", "commands.report", "the page of a finished run, written again or to another place"),
    Command("preview", "commands.preview.command", "what each threshold would keep, with pairs just either side of it"),
    Command("clusters", "commands.clusters", "how even, how tight and how stable the clusters of a run are"),
    Command("status", "status.status", "what a run has finished so far"),
    Command(
        "check",
        "commands.check",
        "whether a run's files are what was written; removes what must be made again",
    ),
    Command("recipes", "commands.recipes", "every preset and every step, with its paper and its options"),
    Command(
        "compare-embedders",
        "commands.compare_embedders.command",
        "what a faster way of embedding costs: speed against agreement",
    ),
    Command(
        "sample-corpus",
        "commands.sample_corpus.command",
        "make a real corpus out of the docstrings of installed packages",
    ),
    Command(
        "distill",
        "commands.distill",
        "make a token table out of an embedder: hundreds of times faster, and coarser",
    ),
)


class Parser(argparse.ArgumentParser):
    """Repeats what was given in characters that a terminal does not obey."""

    def error(self, message: str) -> NoReturn:
        super().error(one_line(message))

    def print_help(self, file: Any = None) -> None:
        with to_stdout():
            super().print_help(file)


class Version(argparse.Action):
    """Looks the version up when it is asked for, as that takes a search through what is installed."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> NoReturn:
        with to_stdout():
            print(f"sluice {metadata.version('sluice')}")
        parser.exit()


def parser(argv: Sequence[str] | None = None) -> argparse.ArgumentParser:
    """All commands, with their options.

    argv: with the options of the command alone that these arguments name, as the others' take seconds to import.
    """
    top = Parser(
        prog="sluice",
        description="Makes language-model training corpora smaller and better: near-duplicates in meaning go, then the "
        "over-represented rest, to an exact target.",
        epilog="Try: sluice sample-corpus sample --documents 2000, then sluice curate --input sample --run runs/first",
        allow_abbrev=False,
    )
    top.add_argument("--version", action=Version, nargs=0, help="show the version and exit")
    named = None if argv is None else next((word for word in argv if not word.startswith("-")), "")
    children = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for command in COMMANDS:
        module = None if named not in (None, command.name) else import_module(f"sluice.pipelines.{command.module}")
        child = children.add_parser(
            command.name,
            help=command.help,
            description=command.help[0].upper() + command.help[1:] + ".",
            epilog=getattr(module, "EPILOG", None),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        if module is not None:
            module.add_arguments(child)
            child.set_defaults(run_command=module.run, takes_beam=command.takes_beam)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; 0 when it worked, 1 when it failed, 2 when it was asked for wrongly."""
    make_usable()
    argv = sys.argv[1:] if argv is None else argv
    args, beam_args = parser(argv).parse_known_args(argv)
    if args.command == "explain" and args.document is None and beam_args and beam_args[:-1] in ([], ["--"]):
        # An id may begin with a dash, as a video's does; argparse leaves the -- before it where an option came first.
        args.document, beam_args = beam_args[-1], []

    def run_command() -> int:
        if not args.takes_beam:
            if beam_args:
                raise ValueError(f"sluice {args.command} does not take {' '.join(beam_args)}")
            return args.run_command(args)
        # heavy: Beam, which the commands that take its flags have imported already
        from sluice.pipelines.run.resources import check_beam_args

        check_beam_args(beam_args)
        return args.run_command(args, beam_args)

    resumes = args.command in ("curate", "stage")
    return exit_code(run_command, verbose=getattr(args, "verbose", False), resumes=resumes)


if __name__ == "__main__":
    sys.exit(main())
