"""The commands that start what was planned: a local run, jobs on Dataflow, or flex templates."""

import argparse
import shlex
from collections.abc import Sequence

from sluice.pipelines.options import OPTIONS
from sluice.pipelines.plan_prices import Machine

PLACEHOLDERS = {
    "--project": "PROJECT",
    "--region": "REGION",
    "--temp_location": "gs://BUCKET/tmp",
    "--sdk_container_image": "IMAGE",
}
# Where neither a run nor a bucket is given yet.
RUN, CLOUD_RUN = "runs/planned", "gs://BUCKET/runs/planned"
# What may stand between gcloud's parameters (its topic `escaping`).
DELIMITERS = "~|#;@%"


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
    args: argparse.Namespace, beam_args: Sequence[str], *, machine: Machine, rest: Machine, stages: Sequence[str]
) -> list[str]:
    """Shell commands, one after the other; words in capitals are to be filled in."""
    dataflow = machine.kind == "dataflow"
    run = args.run or (CLOUD_RUN if dataflow else RUN)
    curate = curate_arguments(args, run)
    if not dataflow:
        several = []
        if args.workers > 1 and not _given(beam_args, "--direct_num_workers"):
            several = ["--direct_running_mode=multi_processing", f"--direct_num_workers={args.workers}"]
        return [shlex.join(["sluice", *curate, *beam_args, *several])]
    if args.templates:
        return [_template(args, beam_args, stage, run, machine, rest) for stage in stages]
    common = [*beam_args, *_dataflow(beam_args)]
    plain = [*common, f"--max_num_workers={args.workers}", f"--machine_type={_type(args, rest, machine)}"]
    if machine.accelerator is None or "embeddings" not in stages:
        return [shlex.join(["sluice", *curate, *plain])]
    first = [shlex.join(["sluice", *curate, "--prepare"])]
    for stage in stages[: stages.index("embeddings")]:
        first.append(shlex.join(["sluice", "stage", stage, "--run", run, *plain]))
    special = [
        *common,
        f"--max_num_workers={args.workers}",
        f"--machine_type={machine.machine_type or args.machine}",
        f"--embedding_accelerator={machine.hint}",
        "--experiments=no_use_multiple_sdk_containers",
        "--number_of_worker_harness_threads=1",
    ]
    embed = shlex.join(["sluice", "stage", "embeddings", "--run", run, *special])
    # What is finished is skipped, so the whole command does the rest.
    return [*first, embed, shlex.join(["sluice", *curate, *plain])]


def _template(
    args: argparse.Namespace, beam_args: Sequence[str], stage: str, run: str, machine: Machine, rest: Machine
) -> str:
    """A call of the stage's template; the launcher does not wait for its job."""
    parameters = {"stage": stage, "run": run}
    if stage == "inventory":
        parameters["recipe"] = args.recipe
        for option in OPTIONS:
            value = getattr(args, option.name)
            if value is not None:
                parameters[option.name] = ",".join(map(str, value)) if option.many else str(value)
    embeds = stage == "embeddings" and machine.accelerator is not None
    if embeds:
        parameters["embedding_accelerator"] = str(machine.hint)
    kind = stage if "/" not in stage else "step"
    used = machine if embeds else rest
    words = ["gcloud", "dataflow", "flex-template", "run", f"sluice-{stage.replace('/', '-')}"]
    words.append(f"--template-file-gcs-location={args.templates.rstrip('/')}/sluice-{kind}.json")
    words.append(f"--region={_value(beam_args, '--region') or PLACEHOLDERS['--region']}")
    if project := _value(beam_args, "--project"):
        words.append(f"--project={project}")
    if stage != "report":
        words.append(f"--max-workers={args.workers}")
        words.append(f"--worker-machine-type={_type(args, used, machine)}")
    given = [f"{name}={value}" for name, value in parameters.items()]
    mark = next(one for one in DELIMITERS + "\x1f" if not any(one in text for text in given))
    words.append(f"--parameters=^{mark}^{mark.join(given)}")
    return shlex.join(words)


def _type(args: argparse.Namespace, machine: Machine, asked: Machine) -> str:
    """The machine type of a row: its own name, unless it says otherwise."""
    if machine.machine_type:
        return machine.machine_type
    return args.machine if machine is asked else str(asked.rest)


def _dataflow(beam_args: Sequence[str]) -> list[str]:
    words = [] if _given(beam_args, "--runner") else ["--runner=DataflowRunner"]
    return words + [f"{name}={value}" for name, value in PLACEHOLDERS.items() if not _given(beam_args, name)]


def _given(beam_args: Sequence[str], name: str) -> bool:
    return any(arg == name or arg.startswith(f"{name}=") for arg in beam_args)


def _value(beam_args: Sequence[str], name: str) -> str | None:
    for place, arg in enumerate(beam_args):
        if arg.startswith(f"{name}="):
            return arg.partition("=")[2]
        if arg == name and place + 1 < len(beam_args):
            return beam_args[place + 1]
    return None


def _option(flag: str, value: str) -> list[str]:
    return [f"{flag}={value}"] if value.startswith("-") or not value else [flag, value]
