"""The entry of the templates: one stage of a run as one job, with every value given as text.

    python templates/stage.py --stage=inventory --run=gs://bucket/runs/first --input=gs://bucket/corpus --keep=0.5 \\
        --runner=DataflowRunner --project=P --region=R --temp_location=gs://bucket/tmp --sdk_container_image=IMAGE
    python templates/stage.py --stage=documents --run=gs://bucket/runs/first --runner=DataflowRunner ...

With --template_location, which the launcher of a Dataflow flex template adds, it prepares just one job and waits for
nothing. Without, it waits for the job, and starts none where the stage is finished or the run has no such stage.
"""

import argparse
import logging
from collections.abc import Sequence
from typing import Any

from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions, SetupOptions, WorkerOptions

from sluice.pipelines.launch.jobs import MakeReport, NothingToDo
from sluice.pipelines.recipe.options import OPTIONS, Option, build_recipe
from sluice.pipelines.recipe.recipe import Recipe
from sluice.pipelines.run.finished import RECIPE
from sluice.pipelines.run.layout import REPORT
from sluice.pipelines.run.prepare import open_run, prepare
from sluice.pipelines.run.resources import check_beam_args, check_resources
from sluice.pipelines.run.run import Run
from sluice.pipelines.run.runner import find_stage, pipeline_options, readable_errors, run_stages, start_job
from sluice.pipelines.terminal.exits import exit_code

log = logging.getLogger("sluice")
INVENTORY = "inventory"
DEFAULT_RECIPE = "d4"


def parser() -> argparse.ArgumentParser:
    """The entry's own options, with underscores or dashes; the others are Beam's."""
    found = argparse.ArgumentParser(prog="stage.py", description="One stage of a run as one job.", allow_abbrev=False)
    found.add_argument("--stage", required=True, metavar="STAGE", help="inventory, documents, 02-semdedup/scores, ...")
    found.add_argument("--run", required=True, metavar="URL", help="run directory")
    found.add_argument("--recipe", help=f"with --stage=inventory: a preset or a YAML file (default: {DEFAULT_RECIPE})")
    for option in OPTIONS:
        dashes, underscores = (f"--{option.name.replace('_', mark)}" for mark in "-_")
        settings: dict[str, Any] = {"dest": option.name, "help": f"with --stage=inventory: {option.help}"}
        settings["help"] = settings["help"].replace("%", "%%")
        settings |= {"choices": option.choices} if option.choices else {"metavar": option.metavar or "VALUE"}
        settings["type"] = split_list if option.many else option.type
        found.add_argument(*dict.fromkeys((underscores, dashes)), **settings)
    return found


def split_list(text: str) -> list[str]:
    """a,b -> [a, b]; no part may be empty, so that a comma too many is no silent loss."""
    parts = [part.strip() for part in text.split(",")]
    if not all(parts):
        raise argparse.ArgumentTypeError(f"{text!r} has an empty part")
    return parts


def is_file(recipe: str | None) -> bool:
    return recipe is not None and recipe.endswith((".yaml", ".yml"))


def default_of(option: Option) -> Any:
    """What the recipe has where the option is not given; None where that depends on its steps."""
    if option.place is None:
        return None
    model: Any = Recipe
    for name in option.place[:-1]:
        model = model.model_fields[name].annotation
    field = model.model_fields[option.place[-1]]
    return None if field.is_required() else field.default


def main(argv: Sequence[str] | None = None) -> int:
    """Start a stage's job; exit codes are the command line's."""
    args, beam_args = parser().parse_known_args(argv)
    return exit_code(lambda: _launch(args, beam_args))


def _launch(args: argparse.Namespace, beam_args: list[str]) -> int:
    options = pipeline_options(beam_args, args.stage, alone=True)
    launched = options.view_as(GoogleCloudOptions).template_location is not None
    _check_flags(beam_args, launched=launched)
    _check_workers(options)
    run = _prepared(args) if args.stage == INVENTORY else _opened(args)
    check_resources(options, run.recipe)
    if args.stage != REPORT and not launched:
        run_stages(run, beam_args, only=args.stage)
        return 0
    stage = find_stage(run, args.stage)
    if args.stage == REPORT:
        transform: Any = MakeReport(run.url)
    elif stage is not None and not stage.finished:
        transform = stage.transform
    else:
        reason = f"{args.stage}: " + ("this run has no such stage" if stage is None else "finished before")
        log.info("nothing to do: %s", reason)
        transform = NothingToDo(reason)
    name = f"nothing-to-do-{args.stage}" if isinstance(transform, NothingToDo) else args.stage
    with readable_errors(args.stage):
        # What comes back under --template_location stands for no job: even printing it is an error.
        result = start_job(transform, name, beam_args, alone=True)
        if not launched:
            result.wait_until_finish()
    return 0


def _prepared(args: argparse.Namespace) -> Run:
    """The run with a new recipe.yaml, or with the one that is there when nothing else is given.

    A value that is the default counts as not given: Google's console fills defaults in and sends them along, and they
    must not change what a recipe file says.
    """
    given = _given(args)
    defaults = [option.name for option in OPTIONS if option.name in given and given[option.name] == default_of(option)]
    for name in defaults:
        if is_file(args.recipe):
            log.info("--%s=%s is the default: %s decides about it", name, given[name], args.recipe)
        del given[name]
    if not given and args.recipe in (None, DEFAULT_RECIPE):
        run = open_run(args.run)
        log.info("recipe %s, as in %s/%s", run.recipe.name, run.url, RECIPE)
        return run
    recipe = build_recipe(recipe=args.recipe or DEFAULT_RECIPE, inputs=given.pop("input", ()), **given)
    run, changes = prepare(recipe, args.run)
    for change in changes:
        log.warning("%s", change)
    return run


def _opened(args: argparse.Namespace) -> Run:
    given = [name for name in ("recipe", *_given(args)) if getattr(args, name) is not None]
    if given:
        raise ValueError(f"--{given[0]} goes with --stage={INVENTORY}: later stages follow the run's {RECIPE}")
    return open_run(args.run)


def _given(args: argparse.Namespace) -> dict[str, Any]:
    return {option.name: getattr(args, option.name) for option in OPTIONS if getattr(args, option.name) is not None}


def _check_flags(beam_args: Sequence[str], *, launched: bool) -> None:
    """Refuse flags that nobody knows; of a launcher only those that look like a misspelt one.

    Whoever starts a template cannot keep Google's launcher from adding a flag that is newer than this Beam.
    """
    for arg in beam_args:
        try:
            check_beam_args([arg])
        except ValueError as error:
            if not launched or "did you mean" in str(error):
                raise
            log.warning("%s: passed over", error)


def _check_workers(options: PipelineOptions) -> None:
    """Raises ValueError where Dataflow's workers would have no Sluice: they say so only after minutes of starting."""
    setup = options.view_as(SetupOptions)
    has_code = setup.setup_file or setup.requirements_file or setup.extra_packages
    on_dataflow = "Dataflow" in str(options.get_all_options()["runner"])
    if on_dataflow and not has_code and not options.view_as(WorkerOptions).sdk_container_image:
        raise ValueError("DataflowRunner without --sdk_container_image: workers would run an image without Sluice")
