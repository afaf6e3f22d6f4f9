"""Everything that a plan found out, and as what programs read it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sluice.models.forecast.ranges import Range, total
from sluice.pipelines.plan.cost import Cost, Fleet
from sluice.pipelines.plan.forecast import SAMPLE, SPREAD, Facts, Largest
from sluice.pipelines.plan.model import Embedded
from sluice.pipelines.plan.sample import corpus_bytes
from sluice.transforms.records.records import Unit

GB = 1e9
SUMMED = ("core_seconds", "seconds", "shuffled_bytes", "stored_bytes", "cost")


@dataclass(frozen=True)
class Plan:
    """Everything that was found out. fleets: the machines of the embeddings stage, and of all others."""

    facts: Facts
    fleets: tuple[Fleet, Fleet]
    costs: list[Cost]
    largest: list[Largest]
    units: Sequence[Unit]

    def as_json(self) -> dict[str, Any]:
        """Ranges are {low, likely, high}; seconds by the clock, core_seconds of processors, memory a worker."""
        facts, prices = self.facts, self.fleets[0].prices
        stages = [_stage(one) for one in self.costs]
        stored = total(one.work.stored for one in self.costs)
        month = prices.prices.storage_gb_month
        machines = total(one.compute for one in self.costs)
        shuffle = total(one.shuffle for one in self.costs)
        storage = stored.times((month or 0.0) / GB)
        return {
            "recipe": facts.recipe.name,
            "input": {
                "files": facts.files,
                "bytes": corpus_bytes(self.units),
                "units": facts.units,
                "largest_unit_share": facts.largest_unit,
            },
            "sample": {
                "documents": facts.counted.total("documents"),
                "records": facts.counted.total("records"),
                "rejected": facts.counted.total("rejected"),
                "reasons": facts.counted.reasons,
                "is_the_corpus": facts.everything,
            },
            "documents": _json(facts.documents),
            "characters_per_document": _json(facts.counted.characters),
            "tokens_per_document": None if facts.counted.tokens is None else _json(facts.counted.tokens),
            "tokens": None if facts.counted.tokens is None else _json(facts.documents.times(facts.counted.tokens)),
            "kept": _json(facts.kept),
            "embedding": self._embedding(),
            "machine": self._machine(),
            "stages": stages,
            "totals": {name: _sum(stages, name) for name in SUMMED}
            | {"memory_bytes": max(stage["memory_bytes"] for stage in stages)},
            "cost": {
                "currency": prices.currency,
                "date": prices.date.isoformat(),
                "source": prices.source,
                "machines": _json(machines),
                "shuffle": _json(shuffle),
                "storage_for_a_month": None if month is None else _json(storage),
                "total": _json(total([machines, shuffle, storage])),
                "without_price": self.without_price(),
            },
            "largest_clusters": [
                {
                    "step": one.step,
                    "clusters": one.clusters,
                    "documents": _json(one.documents),
                    "most_in_bin": one.most_in_bin,
                    "split": one.most_in_bin is not None and one.documents.likely > one.most_in_bin,
                }
                for one in self.largest
            ],
        }

    def _embedding(self) -> dict[str, Any] | None:
        model = self.facts.model
        if not self.facts.recipe.needs_vectors:
            return None
        if model is None:
            return {"model": None, "dimension": self.facts.dimension, "here": None, "on_accelerator": None}
        return {
            "model": self.facts.recipe.embedding.model,
            "dimension": model.dimension,
            "here": {
                "documents": model.documents,
                "documents_per_second": model.documents_per_second,
                "tokens_per_second": model.tokens_per_second,
                "tokens_per_document": model.tokens,
                "operations_per_token": model.flops_per_token,
            },
            "on_accelerator": self._on_accelerator(model),
        }

    def _on_accelerator(self, model: Embedded) -> dict[str, Any] | None:
        """One machine's speed; None where it has no accelerator, or the model is a token table, which uses none."""
        if not (self.fleets[0].machine.accelerator and model.flops_per_token and model.tokens):
            return None
        host = Range.exactly(model.tokenize_seconds * self.facts.speed.core).times(SPREAD[SAMPLE])
        flops = Range.exactly(model.tokens * model.flops_per_token)
        documents = Range.exactly(1.0).over(self.fleets[0].accelerated(flops, host))
        tokens = documents.times(model.tokens)
        return {"documents_per_second": _json(documents), "tokens_per_second": _json(tokens)}

    def _machine(self) -> dict[str, Any]:
        first, rest = self.fleets
        return {
            "name": first.name,
            "kind": first.machine.kind,
            "workers": first.workers,
            "cores": first.cores,
            "memory_gb": first.machine.memory_gb,
            "speed": first.machine.speed,
            "gflops_per_core": first.machine.gflops_per_core,
            "accelerator": first.machine.accelerator,
            "rest": rest.name,
            "measured": first.here,
        }

    def without_price(self) -> list[str]:
        """What is left out of the cost because the price file does not know it."""
        found = [name for fleet in self.fleets for name in fleet.without_price()]
        if self.fleets[0].prices.prices.storage_gb_month is None:
            found.append("storage_gb_month")
        return list(dict.fromkeys(found))


def _json(value: Range) -> dict[str, float]:
    return {name: float(end) for name, end in value._asdict().items()}


def _stage(one: Cost) -> dict[str, Any]:
    work = one.work
    return {
        "stage": work.stage,
        "basis": work.basis,
        "machine": one.machine,
        "workers": one.workers,
        "tasks": float(work.tasks),
        "core_seconds": _json(one.core_seconds),
        "seconds": _json(one.seconds),
        "memory_bytes": int(work.memory),
        "shuffled_bytes": _json(work.shuffled),
        "stored_bytes": _json(work.stored),
        "cost": _json(one.cost),
    }


def _sum(stages: list[dict[str, Any]], name: str) -> dict[str, float]:
    return {end: sum(stage[name][end] for stage in stages) for end in ("low", "likely", "high")}
