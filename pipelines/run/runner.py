"""Runs stages one after another on any Beam runner, skipping those that are finished, with a line of progress."""

import contextlib
import logging
import re
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions
from apache_beam.runners.runner import PipelineResult
from google.api_core.exceptions import RetryError

from sluice.pipelines.base.work import Stage
from sluice.pipelines.run.holding import holding
from sluice.pipelines.run.launches import Launch, launched
from sluice.pipelines.run.layout import stage_names
from sluice.pipelines.run.resources import Options, check_resources, request_resources
from sluice.pipelines.run.run import Run
from sluice.pipelines.terminal.progress import counting
from sluice.transforms.stages import counters, progress
from sluice.transforms.stages.leftovers import remove_leftovers
from sluice.transforms.storage import filesystems

log = logging.getLogger("sluice")
# By name: plain DirectRunner in Beam 2.77 first tries to download another engine.
DEFAULT_RUNNER = "FnApiRunner"
# What Beam's local runners say when a worker's process is gone: killed, or out of memory.
LOST_WORKER = ("Channel closed prematurely.",)


class StageFailed(RuntimeError):
    """A stage's job ended in an error; the message is the innermost one."""


@dataclass(frozen=True)
class Timing:
    """How long a stage took, in seconds, and what its job counted; 0 and nothing when it was found finished."""

    stage: str
    seconds: float
    skipped: bool
    counters: dict[str, Any] = field(default_factory=dict)


def run_stages(run: Run, beam_args: Sequence[str] = (), *, only: str | None = None) -> list[Timing]:
    """Run every stage that is not finished, or just the one named `only` (those before it must be finished).

    Raises StageFailed, and ValueError for an `only` that is no stage of the recipe or options that exclude each other.
    """
    check_resources(pipeline_options(beam_args, ""), run.recipe)
    with holding(run.url, run.recipe), launched(run.url, beam_args, whole=only is None) as launch:
        remove_leftovers(run.url)
        if only is not None:
            stage = find_stage(run, only)
            if stage is None:
                log.info("stage=%s state=none", only)
            return [] if stage is None else [_run_or_skip(stage, run, beam_args, launch, alone=True)]
        return [_run_or_skip(stage, run, beam_args, launch, alone=False) for stage in run.stages()]


def find_stage(run: Run, name: str) -> Stage | None:
    """The stage of that name, or None where this run has no such stage: about some of them only the data decide.

    Raises StageFailed where a stage before it is not finished, ValueError for a name that is no stage of the recipe.
    """
    names = stage_names(run.recipe)
    if name not in names:
        raise ValueError(f"this recipe has no stage {name!r}; it has {', '.join(stage_names(run.recipe, repeats=0))}")
    for stage in run.stages():
        if stage.name == name:
            return stage
        if names.index(stage.name) > names.index(name):
            return None
        if not stage.finished:
            raise StageFailed(f"stage {name} needs {stage.name}, which is not finished in {run.url}")
    return None


def _run_or_skip(stage: Stage, run: Run, beam_args: Sequence[str], launch: Launch, *, alone: bool) -> Timing:
    if stage.finished:
        log.info("stage=%s state=finished_before", stage.name)
        return Timing(stage.name, 0.0, True)
    with launch.stage(stage.name) as entry:
        timing = run_stage(stage, run, beam_args, alone=alone)
        entry["counters"] = timing.counters
    return timing


def run_stage(stage: Stage, run: Run, beam_args: Sequence[str] = (), *, alone: bool = False) -> Timing:
    """One stage as one Beam job, waited for; `alone`, a job name that is given is the job's whole name."""
    started = time.monotonic()
    total = None
    if stage.name not in ("inventory", "documents"):
        total = run.documents.manifest["rows"]
    with _progress_line(stage, total), readable_errors(stage.name):
        result = start_job(stage.transform, stage.name, beam_args, alone=alone)
        result.wait_until_finish()
    if not stage.finished:
        raise StageFailed(f"stage {stage.name} ended, but {stage.artifacts[-1].url} is not finished")
    seconds = time.monotonic() - started
    counted = counters.query(result)
    shown = "".join(f" {name}={value}" for name, value in counted.items() if isinstance(value, int))
    log.info("stage=%s state=finished seconds=%.1f%s", stage.name, seconds, shown)
    return Timing(stage.name, seconds, False, counted)


def start_job(
    transform: beam.PTransform, name: str, beam_args: Sequence[str] = (), *, alone: bool = False
) -> PipelineResult:
    """A job of one transform, with the resources it asks for. In-process runners return when it has ended."""
    options = pipeline_options(beam_args, name, alone=alone)
    request_resources(options, transform)
    pipeline = beam.Pipeline(options=options)
    pipeline | transform
    try:
        return pipeline.run()
    except RetryError as error:  # Beam's client of Google's store, which says neither what it was doing nor where
        cloud = options.view_as(GoogleCloudOptions)
        place = cloud.staging_location or cloud.temp_location
        raise OSError(f"the job could not be staged below {place}: {error}") from error


def pipeline_options(beam_args: Sequence[str], stage: str, *, alone: bool = False) -> PipelineOptions:
    """Beam's options: the in-process runner unless another is named, and a name for the job.

    Names are sluice-STAGE-TIME-RANDOM. One that is given begins the name of each of several jobs: two jobs of one
    name cannot run on Dataflow at once.
    """
    args = list(beam_args)
    if not any(arg.startswith("--runner") for arg in args):
        args.append(f"--runner={DEFAULT_RUNNER}")
    # All code is in the package: nothing of the launching process needs to travel. The types of Sluice's graphs are
    # checked by its tests, not again by every job: it would be a quarter of a job's start.
    options = Options(args, save_main_session=False, pipeline_type_check=False)
    cloud = options.view_as(GoogleCloudOptions)
    slug = stage.replace("/", "-")
    if not cloud.job_name:
        cloud.job_name = f"sluice-{slug}-{int(time.time())}-{uuid.uuid4().hex[:6]}"
    elif not alone:
        cloud.job_name = f"{cloud.job_name}-{slug}"
    return options


@contextlib.contextmanager
def readable_errors(stage: str) -> Iterator[None]:
    """Runners wrap a worker's error in their own; what the reader needs is the last line of the worker's."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        raise
    except Exception as error:
        log.debug("stage %s failed", stage, exc_info=True)
        message = innermost(error)
        if message == KeyboardInterrupt.__name__:  # it met a worker in this process
            raise KeyboardInterrupt from error
        raise StageFailed(f"stage {stage}: {message}") from error


def innermost(error: BaseException) -> str:
    """The message of the error that a worker raised, without the runner's wrapping."""
    text = str(error)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    # A worker's traceback arrives as text; its last line "module.Error: message [while running 'x']" says it all.
    if "Traceback (most recent call last)" in text:
        found = [line for line in lines if ": " in line and not line.startswith(("File ", "Traceback"))]
        text = found[-1] if found else lines[-1]
        head, _, message = text.partition(": ")
        if head.replace(".", "").replace("_", "").isalnum():
            text = message
    # Not all that is said comes before it: an error that names a file goes on with what is wrong there.
    text = re.sub(r" \[while running '[^']*'\]", "", text).strip() or type(error).__name__
    return f"a worker process died ({text})" if text in LOST_WORKER else text


def _progress_line(stage: Stage, total: int | None) -> contextlib.AbstractContextManager[None]:
    """A live line on a terminal: documents, documents per second, time left. Nothing in logs."""
    progress.reset()
    # Listing a bucket is paid for.
    seconds = 0.5 if filesystems.is_local(stage.artifacts[-1].url) else 10
    return counting(stage.name, total, lambda: progress.done(stage.name) or _finished_rows(stage, total), every=seconds)


def _finished_rows(stage: Stage, total: int | None) -> int:
    """Where workers are other processes: the share of units whose part is there, in documents."""
    if not total:
        return 0
    fs, path = filesystems.filesystem(stage.artifacts[-1].url)
    try:
        with filesystems.reading(stage.artifacts[-1].url):
            parts = sum(stage.artifacts[-1].key[:10] in name for name in fs.ls(path, detail=False))
    except OSError:
        return 0
    expected = getattr(stage.transform, "units", 0) or 1
    return int(total * min(parts / expected, 1))
