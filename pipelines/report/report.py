"""report.json: what a run did, from its manifests and one pass over its parts; nothing is claimed before it adds up."""

import json
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from sluice.models.clustering import skew
from sluice.models.reporting import audit
from sluice.pipelines.report.central import add_central, cluster_of
from sluice.pipelines.report.clusters import training
from sluice.pipelines.report.embedding import embedding_counts
from sluice.pipelines.report.page import summary
from sluice.pipelines.report.repeats import plan_repeats
from sluice.pipelines.run.finished import Address, Finished, Text, plain
from sluice.pipelines.run.launches import machine, read_launches
from sluice.pipelines.run.losses import loss_lines
from sluice.pipelines.run.run import Run, versions
from sluice.pipelines.run.runner import Timing
from sluice.transforms import storage
from sluice.transforms.audit import probes
from sluice.transforms.audit.accounting import Totals, duplicate_ids, views
from sluice.transforms.audit.chance import chance
from sluice.transforms.audit.ledger import Group, Ledger
from sluice.transforms.audit.probes import Probed
from sluice.transforms.audit.samples import Example, Examples, Sample, StepTally
from sluice.transforms.audit.sources import SourceTally
from sluice.transforms.audit.views import AccountingError, Sources
from sluice.transforms.clusters.centroids import load_array
from sluice.transforms.outcome.decisions import KEPT
from sluice.transforms.stages.artifacts import ArtifactError
from sluice.transforms.stages.stage import read_units
from sluice.transforms.storage import committing

__all__ = ["AccountingError", "make_report", "summary"]

REPORT = "report.json"
GROUPS = 20
GROUP_MEMBERS = 3
HEAD = 200


def make_report(run: Run, timings: list[Timing]) -> dict[str, Any]:
    """Check a finished run's accounts and write <run>/report.json; returns what is in it.

    Raises AccountingError where documents or tokens do not add up, ArtifactError for a stage that is not finished.
    """
    stages = list(_finished_stages(run))
    report = Report(Finished(run.url)).make()
    report |= {
        "repeats": plan_repeats(Finished(run.url), kept_tokens=report["totals"]["kept_tokens"]),
        "timings": [{"stage": t.stage, "seconds": t.seconds, "skipped": t.skipped} for t in timings],
        "versions": versions(),
        "machine": machine(),
        "launches": read_launches(run.url),
        "artifacts": dict(stages),
    }
    report = plain(report)
    committing.replace_bytes(storage.join(run.url, REPORT), json.dumps(report, indent=1, allow_nan=False).encode())
    return report


def _finished_stages(run: Run) -> Any:
    for stage in run.stages():
        if not stage.finished:
            raise ArtifactError(f"stage {stage.name} of {run.url} is not finished; a report needs all of them")
        manifest = stage.artifacts[-1].manifest
        size = sum(part["bytes"] for part in manifest["parts"])
        yield (
            stage.name,
            {"digest": manifest["digest"], "rows": manifest["rows"], "parts": len(manifest["parts"]), "bytes": size},
        )


@dataclass
class Report:
    """Gathers the report of one finished run."""

    run: Finished

    def make(self) -> dict[str, Any]:
        run = self.run
        self.steps = [run.step(name) for name in run.steps]
        self.sources = Sources(
            run.artifact("documents"),
            run.artifact("rejected"),
            run.artifact("decisions"),
            run.artifact("corpus/_parts"),
            tuple(self.steps),
        )
        self.counted = run.recipe.counting[0] != "none"
        seed = run.recipe.seed
        self.totals = Totals()
        self.tallies = [StepTally(number, step) for number, step in enumerate(self.steps)]
        self.sample = Sample(self.sources.documents.manifest["rows"], seed)
        self.examples = Examples(len(self.steps), seed)
        self.by_source = SourceTally(len(self.steps) + 1)
        gatherers: list[Any] = [*self.tallies, self.sample, self.examples, self.by_source]
        records = {part["unit"]: part["stats"]["records"] for part in self.sources.documents.manifest["parts"]}
        with Ledger(records) as ledger:
            for view in views(self.sources, self.totals):
                ledger.add(view.unit, view.rows, fate=view.fate, neighbours=view.neighbours, linked=view.linked)
                for gatherer in gatherers:
                    gatherer.add(view)
            gone = ledger.removed_neighbours(len(self.steps))
            steps = [self._step(number, ledger, int(gone[number])) for number in range(len(self.steps))]
            groups = ledger.largest_groups(GROUPS, GROUP_MEMBERS)
            fates = {at: self._fate(ledger, at) for group in groups for at in group.members}
        examples = self._chosen_examples()
        wanted = [at for _, one in examples for at in ((one.unit, one.row), one.neighbour) if at]
        texts = run.texts([*wanted, *fates])
        return {
            "run": run.url,
            "recipe": json.loads(run.recipe.model_dump_json()),
            "totals": self._totals(),
            "embedding": embedding_counts(run),
            "duplicate_ids": None if run.recipe.input.id is None else duplicate_ids(self.sources.documents),
            "steps": steps,
            "clusterings": [self._clustering(number) for number, step in enumerate(self.steps) if step.clusters],
            "sources": self.by_source.summary(
                [step.name for step in self.steps],
                {step.name: options.named_sources for step, options in zip(self.steps, run.all_options)},
            ),
            "losses": self._losses(),
            "length": self.sample.lengths([step.name for step in self.steps], counted=self.counted),
            "largest_groups": [_group(group, texts, fates) for group in groups],
            "examples": [self._example(number, one, texts) for number, one in examples],
        }

    def _fate(self, ledger: Ledger, at: Address) -> str:
        return self.sources.names[int(ledger.fate[ledger.index(at[0], np.array([at[1]]))][0])]

    # Totals -----------------------------------------------------------------------------------------------------

    def _totals(self) -> dict[str, Any]:
        totals, found = self.totals, self.sources.documents.manifest["totals"]
        inventory = self.run.artifact("inventory").manifest["totals"]
        corpus = self.sources.corpus.manifest["totals"]
        return {
            "units": inventory["units"],
            "files": inventory["files"],
            "bytes_in": inventory["bytes"],
            "unread": inventory.get("unread", {}),
            "records": totals.records,
            "rejected": totals.rejected,
            "reasons": found["reasons"],
            "barren": self._barren(found.get("barren") or {"files": 0, "empty": 0, "named": {}}),
            "documents": sum(totals.documents.values()),
            "characters": sum(totals.characters.values()),
            "tokens": self._tokens(sum(totals.tokens.values())),
            "removed": [
                {
                    "step": step.name,
                    "documents": totals.documents[step.name],
                    "tokens": self._tokens(totals.tokens[step.name]),
                    "characters": totals.characters[step.name],
                }
                for step in self.steps
            ],
            "kept": totals.documents[KEPT],
            "kept_tokens": self._tokens(totals.tokens[KEPT]),
            "kept_characters": totals.characters[KEPT],
            "files_out": corpus["files"],
            "bytes_out": corpus["corpus_bytes"],
        }

    def _barren(self, found: dict[str, Any]) -> dict[str, Any]:
        """Files without a document: how many are empty, and those with nothing but rejects, some of them by name."""
        ranges: Counter[str] = Counter()
        if found["named"]:
            units = read_units(self.run.artifact("inventory"))
            ranges.update(span.relative for unit in units for span in unit.spans if span.relative in found["named"])
        # Another range of a file may hold documents.
        named = {name: one["reasons"] for name, one in found["named"].items() if one["ranges"] == ranges[name]}
        partly = len(found["named"]) - len(named)
        return {"empty": found["empty"], "rejected": found["files"] - found["empty"] - partly, "named": named}

    def _tokens(self, count: int) -> int | None:
        return count if self.counted else None

    # Steps ------------------------------------------------------------------------------------------------------

    def _step(self, number: int, ledger: Ledger, removed_neighbours: int) -> dict[str, Any]:
        step, tally, options = self.steps[number], self.tallies[number], self.run.all_options[number]
        config, kept = step.keep.manifest["config"], step.keep.manifest["totals"]
        cut = options.asked
        removed = self.totals.documents[step.name]
        threshold = config["threshold"] if config["threshold"] is not None else kept.get("min_removed_score")
        found: dict[str, Any] = {
            "step": step.name,
            "cut": json.loads(cut.model_dump_json(exclude_none=True)) if cut is not None else None,
            "by": config["by"],
            "target": config["target"],
            "threshold": None if threshold is None else threshold / tally.scale,
            "documents_before": step.scores.manifest["totals"]["alive"],
            "removed": removed,
            "removed_tokens": self._tokens(self.totals.tokens[step.name]),
            "kept": kept["kept"],
            "kept_tokens": self._tokens(kept["kept_tokens"]),
            "nothing_against": tally.nothing_against,
            "histogram": None,
            "notes": [*options.notes(step.scores.manifest["totals"]), *options.not_compared(step)],
        }
        if tally.bounds is not None and options.scores_cosines:
            found["histogram"] = {"edges": tally.bounds.tolist(), "documents": tally.bins.tolist()}
        if options.names_neighbours:
            found["neighbour_removed_too"] = removed_neighbours
        if options.vector_scale is not None:
            found |= self._duplicates(number, ledger, options.vector_scale)
        if (details := options.details(step)) is not None:
            found["details"] = details
        return found

    def _duplicates(self, number: int, ledger: Ledger, scale: int) -> dict[str, Any]:
        step, tally = self.steps[number], self.tallies[number]
        removed = self.totals.documents[step.name] - tally.copies_removed
        found: dict[str, Any] = {
            "copies": step.scores.manifest["totals"]["copies"],
            "copies_removed": tally.copies_removed,
            "coverage": None,
            "eta": None,
            "chance": None,
        }
        config = step.keep.manifest["config"]
        limit = step.keep.manifest["totals"].get("min_removed_score")
        if config["threshold"] is not None:
            limit = config["threshold"] + 1
        if limit is not None and step.centroids is not None and step.clusters is not None:
            probed = Probed(step.centroids, step.clusters, number, limit, scale, self.run.recipe.seed)
            found["coverage"] = probes.coverage(probed, ledger, removed=removed)
            found["eta"] = probes.eta(probed, ledger.units)
            found["chance"] = chance(probed, ledger.units)
        return found

    def _clustering(self, number: int) -> dict[str, Any]:
        step = self.steps[number]
        assert step.centroids is not None and step.clusters is not None, step.name
        statistics = load_array(step.clusters, "statistics")
        made = step.centroids.manifest["totals"]
        in_order = made.get("splits", [])
        splits = sorted(in_order, key=lambda split: (-split[1], split[0]))
        assigned = step.clusters.manifest["totals"]
        removed = self.tallies[number].removed_by_cluster
        sizes = skew.largest_clusters(statistics, in_order, removed)
        add_central(self.run, step.clusters, sizes["largest"], made)
        return {
            "step": step.name,
            **audit.cluster_summary(statistics, removed),
            **sizes,
            "training": training(made),
            "split": {
                "clusters": len(splits),
                "parts": sum(parts for _, parts in splits),
                "largest": [{"cluster": cluster, "parts": parts} for cluster, parts in splits[: audit.WORST]],
            },
            "assignment": {
                "method": made["method"],
                "checked": assigned.get("checked"),
                "agreed": assigned.get("agreed"),
            },
        }

    def _losses(self) -> dict[str, Any]:
        """What lost too much, as the decisions' manifest says; `warnings` are sentences about it."""
        found = self.sources.decisions.manifest["totals"]
        sources, clusters = loss_lines(found)
        return {
            "sources": found.get("lost_sources"),
            "clusters": found.get("lost_clusters", {}),
            "warnings": [*sources, *clusters],
        }

    # Examples ---------------------------------------------------------------------------------------------------

    def _chosen_examples(self) -> list[tuple[int, Example]]:
        """Five at most: three of semantic duplicates, one of every other step."""
        chosen = []
        for number, options in enumerate(self.run.all_options):
            chosen += [(number, example) for example in self.examples.spread(number, options.examples)]
        return chosen[:5]

    def _example(self, number: int, example: Example, texts: dict[Address, Text]) -> dict[str, Any]:
        at, name = (example.unit, example.row), self.steps[number].name
        return {
            "step": name,
            "score": example.score,
            **_shown(texts, at),
            "neighbour": None if example.neighbour is None else _shown(texts, example.neighbour),
            "cluster": cluster_of(self.run, name, at),
        }


def _shown(texts: dict[Address, Text], at: Address) -> dict[str, Any]:
    text = texts[at]
    return {
        "unit": at[0],
        "row": at[1],
        "id": text.id,
        "text": None if text.text is None else text.text[:HEAD],
        "problem": text.problem,
    }


def _group(group: Group, texts: dict[Address, Text], fates: dict[Address, str]) -> dict[str, Any]:
    return {"size": group.size, "members": [_shown(texts, at) | {"fate": fates[at]} for at in group.members]}
