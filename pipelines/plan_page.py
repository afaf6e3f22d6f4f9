"""A plan as JSON and as a page for a terminal."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from sluice.models.ranges import Range, total
from sluice.pipelines.plan_cost import Cost, Fleet
from sluice.pipelines.plan_measure import Embedded
from sluice.pipelines.plan_sample import corpus_bytes
from sluice.pipelines.plan_work import Facts, Largest
from sluice.pipelines.printing import cell, printable, size
from sluice.transforms.records import Unit

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
                "documents": facts.counted.sampled,
                "records": facts.counted.records,
                "rejected": facts.counted.rejected,
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
            "skew": None if facts.skew is None else facts.skew._asdict(),
        }

    def _embedding(self) -> dict[str, Any] | None:
        vectors = self.facts.vectors
        if vectors is None:
            return None
        if not isinstance(vectors, Embedded):
            return {"model": None, "dimension": vectors.dimension, "here": None}
        return {
            "model": self.facts.recipe.embedding.model,
            "dimension": vectors.dimension,
            "here": {
                "documents": vectors.documents,
                "documents_per_second": vectors.documents_per_second,
                "tokens_per_second": vectors.tokens_per_second,
                "tokens_per_document": vectors.tokens,
                "operations_per_token": vectors.flops_per_token,
            },
        }

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
            "rates_from": self.facts.rates.machine,
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


# A page ---------------------------------------------------------------------------------------------------------


def render(found: dict[str, Any]) -> RenderableType:
    """The plan, its warnings and its commands."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("stage")
    for name in ("likely", "from", "to", "memory", "shuffled", "stored"):
        table.add_column(name, justify="right", no_wrap=True)
    for stage in found["stages"]:
        table.add_row(*_cells(stage, cell(stage["stage"])))
    table.add_row(*_cells(found["totals"], Text("total")), style="bold")
    warnings = [Text(f"Warning: {printable(line)}", style="yellow") for line in found["warnings"]]
    commands = [Text(line, no_wrap=True, overflow="ignore") for line in found.get("commands", ())]
    how = [Text("\nTo start it:", style="bold"), *commands] if commands else []
    return Group(*map(Text, _head(found)), Text(), table, Text(), *map(Text, _after(found)), *warnings, *how)


def _cells(stage: dict[str, Any], name: Text) -> tuple[Any, ...]:
    seconds = stage["seconds"]
    times = (_time(seconds[end]) for end in ("likely", "low", "high"))
    bytes_ = (size(stage[name]["likely"]) for name in ("shuffled_bytes", "stored_bytes"))
    return name, *times, size(stage["memory_bytes"]), *bytes_


def _span(value: dict[str, float], shown: Any) -> str:
    low, high = shown(value["low"]), shown(value["high"])
    return low if low == high else f"{low} - {high}"


def _time(seconds: float) -> str:
    """Two digits: more would be a promise."""
    for limit, each, unit in ((100.0, 1.0, "s"), (6000.0, 60.0, "min"), (172_800.0, 3600.0, "h")):
        if seconds < limit:
            return f"{_two_digits(seconds / each)} {unit}"
    return f"{_two_digits(seconds / 86400)} days"


def _two_digits(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def _count(value: float) -> str:
    """Three digits that mean something."""
    for limit, unit in ((1e12, "T"), (1e9, "B"), (1e6, "M")):
        if value >= limit:
            return f"{value / limit:.3g}{unit}"
    return f"{value:,.0f}" if value >= 10 else f"{value:.3g}"


def _head(found: dict[str, Any]) -> list[str]:
    source, sample, machine = found["input"], found["sample"], found["machine"]
    share = sample["rejected"] / max(sample["records"], 1)
    whole = "all were read" if sample["is_the_corpus"] else f"{sample['documents']:,} were read"
    lines = [
        f"Recipe {printable(found['recipe'])}; {source['files']:,} files, {size(source['bytes'])}, "
        f"{source['units']:,} units.",
        f"Documents: {_span(found['documents'], _count)} ({whole}; {share:.2%} of the records are bad), "
        f"{_span(found['characters_per_document'], _count)} characters"
        + (
            f" and {_span(found['tokens_per_document'], _count)} tokens each"
            if found["tokens_per_document"]
            else " each"
        )
        + f"; kept: {_span(found['kept'], _count)}.",
    ]
    here = (found["embedding"] or {}).get("here")
    if here:
        lines.append(
            f"Embedding here: {_count(here['documents_per_second'])} documents and "
            f"{_count(here['tokens_per_second'])} tokens a second ({here['documents']:,} documents of "
            f"{here['tokens_per_document']:.0f} tokens as the model sees them), "
            f"{found['embedding']['dimension']} dimensions."
        )
    measured = "measured just now" if machine["measured"] else "as the price file says"
    rest = f", {machine['rest']} for the rest" if machine["rest"] != machine["name"] else ""
    what = "machines at most" if machine["kind"] == "dataflow" else "processes" if machine["workers"] > 1 else "process"
    lines.append(
        f"Machine: {machine['name']}{rest}, {machine['workers']:,} {what}, {machine['cores']} cores, "
        f"{machine['memory_gb']:.0f} GB, {machine['gflops_per_core']:.0f} GFLOP/s a core ({measured})."
    )
    return lines


def _after(found: dict[str, Any]) -> list[str]:
    cost, lines = found["cost"], []
    for one in found["largest_clusters"]:
        bins = "" if one["most_in_bin"] is None else f"; a bin holds {_count(one['most_in_bin'])}"
        lines.append(
            f"Largest cluster of {one['step']}, of {one['clusters']:,}: {_span(one['documents'], _count)} documents, "
            f"likely {_count(one['documents']['likely'])}{bins}."
        )
    money = f"{_span(cost['total'], lambda value: f'{value:,.2f}')} {cost['currency']}"
    missing = (
        f", without {', '.join(cost['without_price'])}, which it has no price for" if cost["without_price"] else ""
    )
    lines.append(
        f"Cost: {money}, likely {cost['total']['likely']:,.2f} (machines {cost['machines']['likely']:,.2f}, shuffle "
        f"{cost['shuffle']['likely']:,.2f}), by a price file of {cost['date']}{missing}. Check it before quoting."
    )
    return lines
