"""Beam's flags for the jobs of a plan: those that are given, and for the rest what was planned."""

import argparse
from collections.abc import Sequence
from typing import Any

from apache_beam.options.pipeline_options import PipelineOptions

from sluice.pipelines.plan.prices import Machine

# Beam has two names for each.
MACHINE_TYPE = ("--machine_type", "--worker_machine_type")
IMAGE = ("--sdk_container_image", "--worker_harness_container_image")
# A process with an accelerator takes most of the device's memory for itself.
ONE_PROCESS, SEVERAL_PROCESSES = "no_use_multiple_sdk_containers", "use_multiple_sdk_containers"


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
    """What an image or a folder of templates is called for a machine's accelerator (docs/dataflow.md): NAME-gpu."""
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
