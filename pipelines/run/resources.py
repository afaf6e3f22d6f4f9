"""What a stage asks of its workers, as Beam's resource hints; Dataflow fits machines to them, others pass them over.

A hint stands on a whole job, never on one transform in it: a job has one environment and one kind of worker, so nothing
waits for a second pool to start, and transforms fuse as they do without hints.
"""

import argparse
import logging
import re
from collections.abc import Sequence
from typing import Any, TypeVar

from apache_beam.options.pipeline_options import (
    DebugOptions,
    GoogleCloudOptions,
    PipelineOptions,
    StandardOptions,
    _BeamArgumentParser,
)
from apache_beam.transforms import resources

from sluice.pipelines.recipe.options import OPTIONS, suggest
from sluice.pipelines.recipe.recipe import Recipe
from sluice.transforms.embeddings.embed import Embed

log = logging.getLogger("sluice")
ACCELERATOR = re.compile(r"type:[\w-]+(;[\w-]+(:[\w.-]+)?)*")


View = TypeVar("View", bound=PipelineOptions)


class Options(PipelineOptions):
    """Beam's options, each of whose views is made once.

    Beam asks for a view of them some 110 times a job, and each would be an argument parser built anew: a tenth of what
    a small job takes.
    """

    def view_as(self, cls: type[View]) -> View:
        views = self.__dict__.setdefault("_views", {})  # PipelineOptions takes no attributes but options
        if cls not in views:
            views[cls] = super().view_as(cls)
        return views[cls]

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in super().__getstate__().items() if name != "_views"}


class ResourceOptions(PipelineOptions):
    """Sluice's own flag among those of Beam's runners."""

    @classmethod
    def _add_argparse_args(cls, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--embedding_accelerator",
            default=None,
            help="accelerator hint of the embeddings stage alone, as type:nvidia-l4;count:1;install-nvidia-driver",
        )


def check_resources(options: PipelineOptions, recipe: Recipe) -> None:
    """Raises ValueError for options that contradict one another, before any job is started."""
    accelerator = options.view_as(ResourceOptions).embedding_accelerator
    if options.view_as(StandardOptions).streaming:
        raise ValueError("--streaming: every stage is a batch job")
    if accelerator is not None:
        if not ACCELERATOR.fullmatch(accelerator):
            raise ValueError(
                f"--embedding_accelerator {accelerator!r} is not of the form "
                "type:nvidia-l4;count:1;install-nvidia-driver"
            )
        if recipe.input.vector is not None or not recipe.needs_vectors:
            raise ValueError("--embedding_accelerator has no stage to act on: this recipe runs no model")
    obstacle = _no_right_fitting(options)
    given = "--embedding_accelerator" if accelerator else "--resource_hints"
    if obstacle and (accelerator or options.view_as(StandardOptions).resource_hints):
        raise ValueError(f"{given} and {obstacle} exclude each other: Dataflow fits no machines to hints then")


def request_resources(options: PipelineOptions, transform: Any) -> None:
    """Add to a job's options what its stage asks for: memory where it states some; an accelerator and one process where
    it runs a model.

    Of two memory hints the larger counts.
    """
    asked = options.view_as(ResourceOptions).embedding_accelerator
    if isinstance(transform, Embed) and transform.embedder and (asked or _accelerator_for_all(options)):
        transform.accelerator = True
        _one_process(options)
    # Not getattr with a default: it would hide an error inside the property.
    memory = transform.worker_memory if hasattr(type(transform), "worker_memory") else 0
    obstacle = _no_right_fitting(options)
    if obstacle:
        if memory:
            log.info("%s: no hint is given; a worker needs %.1f GB", obstacle, memory / 1e9)
        return
    standard = options.view_as(StandardOptions)
    hints = list(standard.resource_hints)
    if memory > int(resources.resource_hints_from_options(options).get(resources.MinRamHint.urn, b"0")):
        hints.append(f"min_ram={memory}B")
    if asked and isinstance(transform, Embed):
        hints.append(f"accelerator={asked}")
    standard.resource_hints = hints


def _one_process(options: PipelineOptions) -> None:
    """One process of one thread unless it is asked otherwise: each would have the model on the accelerator again."""
    debug = options.view_as(DebugOptions)
    if not debug.lookup_experiment("use_multiple_sdk_containers"):
        debug.add_experiment("no_use_multiple_sdk_containers")
    if debug.number_of_worker_harness_threads is None:
        debug.number_of_worker_harness_threads = 1


def _accelerator_for_all(options: PipelineOptions) -> bool:
    """Whether Beam's or Dataflow's own options ask for one for every worker."""
    hints = options.view_as(StandardOptions).resource_hints
    services = options.view_as(GoogleCloudOptions).dataflow_service_options or []
    return any(one.startswith("accelerator=") for one in hints) or any(
        one.startswith("worker_accelerator") for one in services
    )


def _no_right_fitting(options: PipelineOptions) -> str | None:
    """The option under which Dataflow takes no resource hints (its documentation of right fitting), or None."""
    cloud = options.view_as(GoogleCloudOptions)
    if cloud.flexrs_goal:
        return f"--flexrs_goal={cloud.flexrs_goal}"
    services = cloud.dataflow_service_options or []
    return next((f"--dataflow_service_options={one}" for one in services if one.startswith("worker_accelerator")), None)


# Flags -------------------------------------------------------------------------------------------------------


def check_beam_args(args: Sequence[str]) -> None:
    """Raises ValueError for a flag that neither Sluice nor Beam knows, with the nearest one that they do."""
    known = _beam_flags()
    for arg in args:
        name = arg.split("=")[0]
        if name.startswith("--") and name not in known:
            ours = [option.flag for option in OPTIONS]
            raise ValueError(f"unknown option {name}{suggest(name, [*ours, *known])}")


def _beam_flags() -> set[str]:
    parser = _BeamArgumentParser(allow_abbrev=False)
    kinds: set[Any] = {*PipelineOptions.__subclasses__(), ResourceOptions}
    for kind in kinds:
        kind._add_argparse_args(parser)
    return {flag for action in parser._actions for flag in action.option_strings}
