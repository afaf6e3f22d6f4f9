"""Jobs of one element, for what a launcher cannot do itself: it starts one job and waits for nothing."""

import logging
from dataclasses import dataclass

import apache_beam as beam

from sluice.pipelines.report.report import REPORT, make_report
from sluice.pipelines.run.prepare import open_run

log = logging.getLogger("sluice")


@dataclass
class MakeReport(beam.PTransform):
    """Checks a finished run's accounts and writes its report.json, on a worker."""

    run: str

    def expand(self, pipeline: beam.Pipeline) -> beam.PCollection[str]:
        return pipeline | beam.Create([self.run]) | "MakeReport" >> beam.Map(write_report)


@dataclass
class NothingToDo(beam.PTransform):
    """Says in a worker's log why there is nothing to do: Dataflow takes a launcher without a job for a failed one."""

    reason: str

    def expand(self, pipeline: beam.Pipeline) -> beam.PCollection[str]:
        return pipeline | beam.Create([self.reason]) | "NothingToDo" >> beam.Map(say)


def write_report(url: str) -> str:
    """The URL of the report of the run at `url`, once it is written."""
    run = open_run(url)
    make_report(run, [])
    return f"{run.url}/{REPORT}"


def say(reason: str) -> str:
    log.info("nothing to do: %s", reason)
    return reason
