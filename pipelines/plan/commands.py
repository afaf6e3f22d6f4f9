"""The commands that start what was planned: a local run, or jobs on Dataflow."""

import argparse
import re
import shlex
from collections.abc import Sequence
from typing import Any

from apache_beam.options.pipeline_options import PipelineOptions

from sluice.pipelines.plan.forecast import planned_stages
from sluice.pipelines.plan.prices import Machine
from sluice.pipelines.recipe.options import OPTIONS
from sluice.pipelines.recipe.recipe import Recipe
from sluice.pipelines.run.layout import named_steps, stage_names
from sluice.pipelines.run.resources import check_resources
from sluice.pipelines.run.runner import pipeline_options

PLACEHOLDERS = {
    "runner": "DataflowRunner",
    "project": "PROJECT",
    "region": "REGION",
    "temp_location": "gs://BUCKET/tmp",
    "sdk_container_image": "IMAGE",
}
# Beam has two names for each.
MACHINE_TYPE = ("--machine_type", "--worker_machine_type")
IMAGE = ("--sdk_container_image", "--worker_harness_container_image")
# A process with an accelerator takes most of the device's memory for itself.
ONE_PROCESS, SEVERAL_PROCESSES = "no_use_multiple_sdk_containers", "use_multiple_sdk_containers"
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

    Raises ValueError for what Sluice would refuse.
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
    stages = [one.name for one in planned_stages(named_steps(recipe.steps))]
    plain = plain_flags(args, beam_args, machine, rest)
    _check(plain, recipe)
    special = None
    if machine.accelerator and "embeddings" in stages:
        special = accelerated_flags(args, beam_args, machine)
        try:
            _check(special, recipe)
        except ValueError as error:
            raise ValueError(f"--machine {args.machine} has an accelerator: {error}") from None
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
    names = stage_names(recipe, repeats=1)
    planned = [one.name for one in planned_stages(named_steps(recipe.steps))]
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


def _check(flags: Sequence[str], recipe: Recipe) -> None:
    check_resources(pipeline_options(flags, ""), recipe)


def _option(flag: str, value: str) -> list[str]:
    return [f"{flag}={value}"] if value.startswith("-") or not value else [flag, value]


# Beam's flags ----------------------------------------------------------------------------------------------------


def options_in(flags: Sequence[str]) -> dict[str, Any]:
    """Beam's options that flags set to anything but their defaults, by Beam's names for them."""
    return PipelineOptions(list(flags)).get_all_options(drop_default=True)


def missing(flags: Sequence[str], **wanted: Any) -> list[str]:
    """Flags for what is wanted, but for options that are set."""
    given = options_in(flags)
    return [f"--{name}={value}" for name, value in wanted.items() if name not in given]


def plain_flags(args: argparse.Namespace, beam_args: Sequence[str], machine: Machine, rest: Machine) -> list[str]:
    """Those of stages that use no accelerator."""
    machine_type = rest.machine_type or (args.machine if rest is machine else machine.rest)
    return [*beam_args, *missing(beam_args, max_num_workers=args.workers, machine_type=machine_type)]


def accelerated_flags(args: argparse.Namespace, beam_args: Sequence[str], machine: Machine) -> list[str]:
    """Those of embeddings on an accelerator, whose machine and image no other stage uses.

    Raises ValueError for an image without a name that the other one's could be told from.
    """
    given = options_in(beam_args)
    flags = _without(beam_args, *MACHINE_TYPE, *IMAGE)
    flags += missing(beam_args, max_num_workers=args.workers, embedding_accelerator=machine.hint)
    flags.append(f"--machine_type={machine.machine_type or args.machine}")
    if not {ONE_PROCESS, SEVERAL_PROCESSES} & set(given.get("experiments", ())):
        flags.append(f"--experiments={ONE_PROCESS}")
    if image := given.get("sdk_container_image"):
        if "@" in image:
            raise ValueError(
                f"--sdk_container_image {image}: name it by its tag, to which the accelerator's adds a word"
            )
        flags.append(f"--sdk_container_image={for_accelerator(image, machine)}")
    return flags


def for_accelerator(name: str, machine: Machine) -> str:
    """What an image is called for a machine's accelerator (docs/dataflow.md): NAME-gpu."""
    ending = "-tpu" if "tpu" in str(machine.accelerator) else "-gpu"
    return name.rstrip("/").removesuffix(ending) + ending


def _without(flags: Sequence[str], *names: str) -> list[str]:
    found: list[str] = []
    value_follows = False
    for flag in flags:
        if value_follows:
            value_follows = False
        elif flag.split("=")[0] in names:
            value_follows = "=" not in flag
        else:
            found.append(flag)
    return found
