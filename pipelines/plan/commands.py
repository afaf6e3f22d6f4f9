"""The commands that start what was planned: a local run, jobs on Dataflow, or flex templates."""

import argparse
import re
import shlex
from collections.abc import Sequence

from sluice.pipelines.plan.facts import planned_stages
from sluice.pipelines.plan.flags import accelerated_flags, for_accelerator, missing, plain_flags
from sluice.pipelines.plan.prices import Machine
from sluice.pipelines.plan.templates import call, check_flags
from sluice.pipelines.recipe.options import OPTIONS
from sluice.pipelines.recipe.recipe import Recipe
from sluice.pipelines.run.layout import REPORT, stage_names
from sluice.pipelines.run.resources import check_resources
from sluice.pipelines.run.runner import pipeline_options

PLACEHOLDERS = {
    "runner": "DataflowRunner",
    "project": "PROJECT",
    "region": "REGION",
    "temp_location": "gs://BUCKET/tmp",
    "sdk_container_image": "IMAGE",
}
# Where neither a run nor a bucket is given yet.
RUN, CLOUD_RUN = "runs/planned", "gs://BUCKET/runs/planned"


def curate_arguments(args: argparse.Namespace, run: str) -> list[str]:
    """The words after `sluice`: the options that were given, for the command line's own parser."""
    words = ["curate"]
    for option in OPTIONS:
        value = getattr(args, option.name)
        if value is None:
            continue
        if option.many:
            # A word that begins with a dash would be taken for an option.
            dashed = any(str(one).startswith("-") for one in value)
            words += [f"{option.flag}={one}" for one in value] if dashed else [option.flag, *map(str, value)]
        else:
            words += _option(option.flag, str(value))
    if args.recipe != "d4":
        words += _option("--recipe", args.recipe)
    return [*words, *_option("--run", run)]


def launch(
    args: argparse.Namespace, beam_args: Sequence[str], *, recipe: Recipe, machine: Machine, rest: Machine
) -> list[str]:
    """Shell commands, one after the other; words in capitals are to be filled in.

    Raises ValueError for what Sluice, a template or gcloud would refuse.
    """
    dataflow = machine.kind == "dataflow"
    run = args.run or (CLOUD_RUN if dataflow else RUN)
    curate = curate_arguments(args, run)
    if not dataflow:
        several = []
        if args.workers > 1 and not any(arg.split("=")[0] == "--direct_num_workers" for arg in beam_args):
            several = ["--direct_running_mode=multi_processing", f"--direct_num_workers={args.workers}"]
        _check([*beam_args, *several], recipe)
        return [shlex.join(["sluice", *curate, *beam_args, *several])]
    stages = planned_stages(recipe)
    plain = plain_flags(args, beam_args, machine, rest)
    _check(plain, recipe)
    special = None
    if machine.accelerator and "embeddings" in stages:
        special = accelerated_flags(args, beam_args, machine)
        try:
            _check(special, recipe)
        except ValueError as error:
            raise ValueError(f"--machine {args.machine} has an accelerator: {error}") from None
    if args.templates:
        return _template_calls(args, beam_args, run, machine, stages, plain, special)
    plain += missing(beam_args, **PLACEHOLDERS)
    whole = shlex.join(["sluice", *curate, *plain])
    if special is None:
        return [whole]
    image = for_accelerator(PLACEHOLDERS["sdk_container_image"], machine)
    special += missing(special, **PLACEHOLDERS | {"sdk_container_image": image, "number_of_worker_harness_threads": 1})
    commands = [shlex.join(["sluice", *curate, "--prepare"])]
    for stage in stages[: stages.index("embeddings") + 1]:
        flags = special if stage == "embeddings" else plain
        commands.append(shlex.join(["sluice", "stage", stage, "--run", run, *flags]))
    # What is finished is skipped, so the whole command does the rest.
    return [*commands, whole]


def left_out(args: argparse.Namespace, recipe: Recipe, machine: Machine) -> str | None:
    """A sentence about stages that a run may have and that are not among the commands, where these name stages."""
    names, planned = stage_names(recipe, repeats=1), planned_stages(recipe)
    if not args.templates:
        # `curate` finds them by itself, and where there is an accelerator it comes after the embeddings.
        several = machine.kind == "dataflow" and machine.accelerator and "embeddings" in names
        names = names[: names.index("embeddings")] if several else []
    kinds = dict.fromkeys(
        re.sub(r"(-embedded)/.*|(/(?:split|round)-)\d+.*", lambda found: found[1] or f"{found[2]}N", name)
        for name in names
        if name not in planned
    )
    if not kinds:
        return None
    listed = shlex.join(["sluice", "recipes", "--stages", args.recipe, "--repeats", "2"])
    return f"Left out, because only the data decide about them: {', '.join(kinds)}. Their places: {listed}"


def _template_calls(
    args: argparse.Namespace,
    beam_args: Sequence[str],
    run: str,
    machine: Machine,
    stages: Sequence[str],
    plain: list[str],
    special: list[str] | None,
) -> list[str]:
    """One for every stage. special: Beam's flags of the embeddings, where they have an accelerator."""
    check_flags(beam_args)
    calls = []
    for stage in stages:
        folder, flags, parameters = args.templates, plain, {"run": run}
        if stage == "inventory":
            parameters["recipe"] = args.recipe
            for option in OPTIONS:
                value = getattr(args, option.name)
                if value is not None:
                    parameters[option.name] = ",".join(map(str, value)) if option.many else str(value)
        elif stage == "embeddings" and special is not None:
            folder, flags = args.accelerator_templates or for_accelerator(args.templates, machine), special
        elif stage == REPORT:
            # One element: any worker will do.
            flags = list(beam_args)
        calls.append(call(stage, folder, flags, parameters))
    return calls


def _check(flags: Sequence[str], recipe: Recipe) -> None:
    check_resources(pipeline_options(flags, ""), recipe)


def _option(flag: str, value: str) -> list[str]:
    return [f"{flag}={value}"] if value.startswith("-") or not value else [flag, value]
