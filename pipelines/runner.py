"""Runs stages one after another on any Beam runner, skipping those that are finished, with a line of progress."""

import contextlib
import logging
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from sluice.pipelines.stages import Run
from sluice.pipelines.steps import Stage
from sluice.transforms import progress, storage

log = logging.getLogger("sluice")
# By name: plain DirectRunner in Beam 2.77 first tries to download another engine.
DEFAULT_RUNNER = "FnApiRunner"


class StageFailed(RuntimeError):
    """A stage's job ended in an error; the message is the innermost one."""


@dataclass(frozen=True)
class Timing:
    """How long a stage took, in seconds; 0 when it was found finished."""

    stage: str
    seconds: float
    skipped: bool


def run_stages(run: Run, beam_args: Sequence[str] = (), *, only: str | None = None) -> list[Timing]:
    """Run every stage that is not finished, or just the one named `only` (those before it must be finished).

    Raises StageFailed, and ValueError for an `only` that is no stage of the recipe.
    """
    timings: list[Timing] = []
    seen: list[str] = []
    for stage in run.stages():
        seen.append(stage.name)
        if stage.finished:
            timings.append(Timing(stage.name, 0.0, True))
            log.info("%s: finished before", stage.name)
        elif only in (None, stage.name):
            timings.append(run_stage(stage, run, beam_args))
        else:
            raise StageFailed(f"stage {only} needs {stage.name}, which is not finished in {run.url}")
        if stage.name == only:
            return timings
    if only is not None:
        raise ValueError(f"this recipe has no stage {only!r}; it has {', '.join(seen)}")
    return timings


def run_stage(stage: Stage, run: Run, beam_args: Sequence[str] = ()) -> Timing:
    """One stage as one Beam job, waited for."""
    started = time.monotonic()
    total = None
    if stage.name not in ("inventory", "documents"):
        total = run.documents.manifest["rows"]
    with _progress_line(stage, total), _readable_errors(stage.name):
        pipeline = beam.Pipeline(options=pipeline_options(beam_args, stage.name))
        pipeline | stage.transform  # type: ignore[operator]
        pipeline.run().wait_until_finish()
    if not stage.finished:
        raise StageFailed(f"stage {stage.name} ended, but {stage.artifacts[-1].url} is not finished")
    seconds = time.monotonic() - started
    log.info("%s: %.1f s", stage.name, seconds)
    return Timing(stage.name, seconds, False)


def pipeline_options(beam_args: Sequence[str], stage: str) -> PipelineOptions:
    """Beam's options: the in-process runner unless another is named, and a job name on services that want one."""
    args = list(beam_args)
    if not any(arg.startswith("--runner") for arg in args):
        args.append(f"--runner={DEFAULT_RUNNER}")
    if "DataflowRunner" in " ".join(args) and not any(arg.startswith("--job_name") for arg in args):
        args.append(f"--job_name=sluice-{stage.replace('/', '-')}-{int(time.time())}")
    # All code is in the package: nothing of the launching process needs to travel. The types of Sluice's graphs are
    # checked by its tests, not again by every job: it would be a quarter of a job's start.
    return PipelineOptions(args, save_main_session=False, pipeline_type_check=False)


@contextlib.contextmanager
def _readable_errors(stage: str) -> Iterator[None]:
    """Runners wrap a worker's error in their own; what the reader needs is the last line of the worker's."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        raise
    except Exception as error:
        log.debug("stage %s failed", stage, exc_info=True)
        raise StageFailed(f"stage {stage}: {innermost(error)}") from error


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
    return text.split(" [while running")[0].strip() or type(error).__name__


@contextlib.contextmanager
def _progress_line(stage: Stage, total: int | None) -> Iterator[None]:
    """A live line on a terminal: documents, documents per second, time left. Nothing in logs."""
    progress.reset()
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description:32}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[speed]}"),
        TimeRemainingColumn(),
    )
    stop = threading.Event()
    with Progress(*columns, console=Console(stderr=True), transient=True) as line:
        task = line.add_task(stage.name, total=total, speed="")
        started = time.monotonic()

        def draw() -> None:
            while not stop.wait(0.5):
                done = progress.done(stage.name.rsplit("/", 1)[-1]) or _finished_rows(stage, total)
                rate = done / max(time.monotonic() - started, 1e-9)
                line.update(task, completed=min(done, total or done), speed=f"{rate:,.0f} documents/s")

        thread = threading.Thread(target=draw, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


def _finished_rows(stage: Stage, total: int | None) -> int:
    """Where workers are other processes: the share of units whose part is there, in documents."""
    if not total:
        return 0
    fs, path = storage.filesystem(stage.artifacts[-1].url)
    try:
        parts = sum(stage.artifacts[-1].key[:10] in name for name in fs.ls(path, detail=False))
    except FileNotFoundError:
        return 0
    expected = getattr(stage.transform, "units", 0) or 1
    return int(total * min(parts / expected, 1))
