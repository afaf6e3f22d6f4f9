"""report.json: what a run did, from its manifests and one pass over its parts; nothing is claimed before it adds up."""

import json
from collections.abc import Iterator
from typing import Any

from sluice.pipelines.report.clusters import describe_clustering
from sluice.pipelines.report.embedding import embedding_counts
from sluice.pipelines.report.examples import describe_texts, largest_groups
from sluice.pipelines.report.gathering import Gathered, gather, open_ledger
from sluice.pipelines.report.html.write import page_url, write_page
from sluice.pipelines.report.page import summary
from sluice.pipelines.report.repeats import plan_repeats
from sluice.pipelines.report.steps import describe_steps
from sluice.pipelines.report.totals import describe_totals
from sluice.pipelines.run.finished import Finished, plain
from sluice.pipelines.run.launches import machine, read_launches
from sluice.pipelines.run.losses import loss_lines
from sluice.pipelines.run.run import Run, versions
from sluice.pipelines.run.runner import Timing
from sluice.transforms import storage
from sluice.transforms.audit.accounting import duplicate_ids
from sluice.transforms.audit.views import AccountingError
from sluice.transforms.storage import committing
from sluice.transforms.storage.damage import ArtifactError

__all__ = ["AccountingError", "make_report", "summary"]

REPORT = "report.json"


def make_report(run: Run, timings: list[Timing]) -> dict[str, Any]:
    """Check a finished run's accounts and write <run>/report.json and its page, report.html; returns what is in it.

    Raises AccountingError where documents or tokens do not add up, ArtifactError for a stage that is not finished.
    """
    stages = dict(_finished_stages(run))
    finished = Finished(run.url)
    report = describe_run(finished)
    report |= {
        "repeats": plan_repeats(finished, kept_tokens=report["totals"]["kept_tokens"]),
        "timings": [{"stage": t.stage, "seconds": t.seconds, "skipped": t.skipped} for t in timings],
        "versions": versions(),
        "machine": machine(),
        "launches": read_launches(run.url),
        "artifacts": stages,
    }
    report = plain(report)
    committing.replace_bytes(storage.join(run.url, REPORT), json.dumps(report, indent=1, allow_nan=False).encode())
    write_page(report, page_url(run.url))
    return report


def read_report(url: str) -> dict[str, Any]:
    """The report of a finished run. Raises FileNotFoundError where there is none, ValueError for a damaged one."""
    place = storage.join(url, REPORT)
    try:
        report = json.loads(storage.read_bytes(place))
    except FileNotFoundError:
        raise FileNotFoundError(f"{url} has no {REPORT}: `sluice curate` with its recipe writes one") from None
    except ValueError:
        raise ValueError(f"{place} is not what was written; remove it, and `sluice curate` makes it again") from None
    if not isinstance(report, dict):
        raise ValueError(f"{place} is no report")
    return report


def _finished_stages(run: Run) -> Iterator[tuple[str, dict[str, Any]]]:
    """(name, content) of every stage."""
    for stage in run.stages():
        if not stage.finished:
            raise ArtifactError(f"stage {stage.name} of {run.url} is not finished; a report needs all of them")
        manifest = stage.artifacts[-1].manifest
        size = sum(part["bytes"] for part in manifest["parts"])
        yield (
            stage.name,
            {"digest": manifest["digest"], "rows": manifest["rows"], "parts": len(manifest["parts"]), "bytes": size},
        )


def describe_run(run: Finished) -> dict[str, Any]:
    """What the report says about the content of a finished run. Raises AccountingError."""
    with open_ledger(run) as ledger:
        gathered = gather(run, ledger)
        steps = describe_steps(gathered, ledger)
        groups, fates = largest_groups(gathered, ledger)
    texts = describe_texts(gathered, groups, fates)
    names = [step.name for step in gathered.steps]
    return {
        "run": run.url,
        "recipe": json.loads(run.recipe.model_dump_json()),
        "totals": describe_totals(gathered),
        "embedding": embedding_counts(run),
        "duplicate_ids": None if run.recipe.input.id is None else duplicate_ids(gathered.sources.documents),
        "steps": steps,
        "clusterings": [
            describe_clustering(run, step, tally.removed_by_cluster)
            for step, tally in zip(gathered.steps, gathered.tallies)
            if step.clusters
        ],
        "sources": gathered.by_source.summary(
            names, {name: options.named_sources for name, options in zip(names, run.all_options)}
        ),
        "losses": _losses(gathered),
        "length": gathered.sample.lengths(names, counted=gathered.counted),
        "largest_groups": texts["largest_groups"],
        "examples": texts["examples"],
    }


def _losses(gathered: Gathered) -> dict[str, Any]:
    """What lost too much, as the decisions' manifest says; `warnings` are sentences about it."""
    totals = gathered.sources.decisions.manifest["totals"]
    sources, clusters = loss_lines(totals)
    return {
        "sources": totals.get("lost_sources"),
        "clusters": totals.get("lost_clusters", {}),
        "warnings": [*sources, *clusters],
    }
