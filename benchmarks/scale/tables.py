"""What was measured, as tables: every stage of every size, growth against the promise, and projections."""

from collections.abc import Iterator
from typing import Any

from benchmarks import measure
from benchmarks.scale import costs
from sluice.models.clustering.kmeans import choose_k

GROWTH, PRODUCTS = 4.4, 0.6
# Stages that take less than this at the smaller size say nothing about growth: starting them is most of it.
JUDGED = 1.0
SIZES = (10**9, 10**10, 10**11)
# Vectors of a document cross a data sheet's float32 unit, as TF32 would not be exact; 60 % of its rate.
GPUS = {"L4": 30e12, "A100": 19.5e12, "H100": 67e12}
REACHED = 0.6


def title(case: dict[str, Any]) -> str:
    kind = ", one template as 60 %" if case.get("template") else ""
    return f"{case['documents']:,} documents x {case['dimension']}, K = {case['clusters']:,}{kind}"


def by_case(records: list[dict[str, Any]]) -> dict[tuple, list[dict[str, Any]]]:
    """The stages of each (documents, dimension, clusters, template), in the order in which they ran."""
    found: dict[tuple, list[dict[str, Any]]] = {}
    for record in records:
        if record["kind"] == "stage":
            names = ("documents", "dimension", "clusters", "template")
            found.setdefault(tuple(record[name] for name in names), []).append(record)
    return found


def rates(records: list[dict[str, Any]]) -> dict[int, dict[str, Any]]:
    """The plain product measured last for each dimension."""
    return {record["dimension"]: record for record in records if record["kind"] == "gemm"}


def constants(records: list[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], str]]:
    """(constants, machine) of each dimension: of its smallest case that is whole."""
    gemm = rates(records)
    for dimension in sorted({key[1] for key in by_case(records)}):
        whole = sorted(
            (key, stages)
            for key, stages in by_case(records).items()
            if key[1] == dimension and not key[3] and any(stage["stage"] == "report" for stage in stages)
        )
        if whole and dimension in gemm:
            yield costs.constants_of(whole[0][1], gemm[dimension]["rate"]), gemm[dimension]["machine"]


# Measured -------------------------------------------------------------------------------------------------------


def everything(records: list[dict[str, Any]]) -> str:
    """All tables of all cases."""
    gemm = rates(records)
    cases = by_case(records)
    parts = []
    for stages in cases.values():
        rate = gemm.get(stages[0]["dimension"], {}).get("rate")
        parts += [f"\n### {title(stages[0])}\n", stage_table(stages, rate)]
    for (documents, dimension, clusters, template), stages in cases.items():
        for other, larger in cases.items():
            if other[1] == dimension and other[3] == template and other[0] == 4 * documents:
                kind = "fixed" if other[2] == clusters else "K = sqrt(n)"
                parts += [f"\n### From {documents:,} to {other[0]:,} x {dimension}, {kind}\n", growth(stages, larger)]
    return "\n".join(parts)


def stage_table(stages: list[dict[str, Any]], rate: float | None) -> str:
    """Seconds, core-seconds, products, memory and bytes of each stage; beside the peak what stages.memory says."""
    rows: list[tuple[str, ...]] = []
    for stage in stages:
        products = [stage["products"][kind] for kind in ("assign", "pairs", "train") if kind in stage["products"]]
        seconds = sum(product["core_seconds"] for product in products)
        flops = sum(product["flops"] for product in products)
        reached = f"{flops / seconds / rate:.0%}" if rate and seconds > 0.05 else "-"
        rows.append(
            (
                stage["stage"],
                f"{stage['seconds']:.1f}",
                f"{stage['core_seconds']:.1f}",
                f"{1e6 * stage['core_seconds'] / stage['documents']:.2f}",
                f"{seconds:.1f}",
                reached,
                f"{stage['peak_mb']:,.0f}",
                f"{stage['worker_memory'] / (1 << 20):,.0f}",
                f"{stage['shuffled_bytes'] / 1e6:,.1f}",
                f"{max((one['largest_key'] for one in stage['shuffles'].values()), default=0) / 1e6:,.1f}",
                f"{stage['stored_bytes'] / 1e6:,.1f}",
            )
        )
    totals = [sum(stage[name] for stage in stages) for name in ("seconds", "core_seconds")]
    shuffled, kept = (sum(stage[name] for stage in stages) / 1e6 for name in ("shuffled_bytes", "stored_bytes"))
    per_document = f"{1e6 * totals[1] / stages[0]['documents']:.2f}"
    peak = f"{max(stage['peak_mb'] for stage in stages):,.0f}"
    total = ["total", *(f"{value:.1f}" for value in totals), per_document, "", "", peak, "", f"{shuffled:,.1f}", ""]
    rows.append((*total, f"{kept:,.1f}"))
    header = [
        "stage",
        "s",
        "core s",
        "core us/document",
        "products, core s",
        "of plain product",
        "peak MB",
        "stated MB",
    ]
    table = measure.table([*header, "shuffled MB", "largest key MB", "stored MB"], rows)
    return f"{table}\n\n{products_reached(stages, rate)}" if rate else table


def products_reached(stages: list[dict[str, Any]], rate: float) -> str:
    """How fast assignment and pairs were, beside a plain product on the same cores."""
    found = []
    for kind, name in (("assign", "assignment"), ("pairs", "pairs")):
        products = [stage["products"][kind] for stage in stages if kind in stage["products"]]
        seconds = sum(product["core_seconds"] for product in products)
        if seconds > 0:
            share = sum(product["flops"] for product in products) / seconds / rate
            verdict = "held" if share >= PRODUCTS else "NOT held" if seconds >= JUDGED else "too little to judge"
            found.append(f"{name} {share:.0%} of it ({verdict})")
    return f"A plain product: {rate / 1e9:.0f} GFLOP/s a core; wanted {PRODUCTS:.0%}: {', '.join(found)}."


def growth(smaller: list[dict[str, Any]], larger: list[dict[str, Any]]) -> str:
    """Core-seconds of products and of the rest at n and 4n, stage by stage, with the promise judged."""
    after = {stage["stage"]: stage for stage in larger}
    rows, broken = [], []
    sums = [0.0, 0.0]
    for stage in smaller:
        if stage["stage"] not in after:
            continue
        pair = [_rest_and_products(one) for one in (stage, after[stage["stage"]])]
        sums = [total + rest for total, (rest, _) in zip(sums, pair)]
        times = pair[1][0] / max(pair[0][0], 1e-9)
        judged = pair[0][0] >= JUDGED
        if judged and times > GROWTH:
            broken.append(f"{stage['stage']} {times:.2f}")
        products = [f"{one:.1f}" if one else "-" for _, one in pair]
        rest = [f"{one:.1f}" for one, _ in pair]
        rows.append((stage["stage"], *rest, f"{times:.2f}" if judged else "-", *products))
    whole = sums[1] / max(sums[0], 1e-9)
    rows.append(("total", f"{sums[0]:.1f}", f"{sums[1]:.1f}", f"{whole:.2f}", "", ""))
    header = ["stage", "rest at n, core s", "at 4n", "times", "assignment and pairs at n, core s", "at 4n"]
    verdict = f"everything but assignment and pair products: {whole:.2f} times, at most {GROWTH} wanted: "
    verdict += "held" if whole <= GROWTH else "NOT held"
    if broken:
        verdict += f"; stages above it: {', '.join(broken)}"
    return f"{measure.table(header, rows)}\n\n{verdict}"


def _rest_and_products(stage: dict[str, Any]) -> tuple[float, float]:
    """Training grows with the sample, which is part of everything else; only assignment and pairs are exempt."""
    seconds = costs.split_seconds(stage)
    exempt = seconds.get("assign", 0.0) + seconds.get("pairs", 0.0)
    return sum(seconds.values()) - exempt, exempt


# Projected ------------------------------------------------------------------------------------------------------


def projections(measured: dict[int, dict[str, Any]]) -> str:
    """For every dimension that was measured and each of SIZES: what every stage costs."""
    if not measured:
        return "nothing was measured: python -m benchmarks.scale --constants"
    parts = []
    for dimension, found in sorted(measured.items()):
        parts.append(
            f"\n## {dimension} dimensions, from {found['documents']:,} documents, K = {found['clusters']:,} on "
            f"{found['machine']}; plain product {found['gemm_per_core'] / 1e9:.0f} GFLOP/s a core"
        )
        for documents in SIZES:
            parts.append(projection(found, documents))
    return "\n".join(parts)


def projection(found: dict[str, Any], documents: int) -> str:
    clusters = choose_k(documents)
    projected = costs.project(found, documents, clusters)
    rows = []
    for name, stage in projected.items():
        rows.append(_row(name, stage))
    total = {key: sum(stage[key] for stage in projected.values()) for key in next(iter(projected.values()))}
    rows.append(_row("total", total))
    units = costs.units_of(documents, found["dimension"])
    reads = costs.exchange(documents, clusters, found["dimension"])
    header = [
        "stage",
        "core-hours",
        "of them products",
        *(f"{name} hours" for name in GPUS),
        "stored GB",
        "shuffled GB",
    ]
    return (
        f"\n### {documents:.0e} documents, K = {clusters:,}, {units:,} units of given float16 vectors\n\n"
        f"{measure.table(header, rows)}\n\n"
        f"SemDeDup's {reads['bins']:,.0f} bins make {reads['reads']:.1e} range reads of {reads['bytes'] / 1e3:,.1f} KB."
    )


def _row(name: str, stage: dict[str, float]) -> tuple[str, ...]:
    hours = [stage["flops"] / (REACHED * rate) / 3600 for rate in GPUS.values()]
    return (
        name,
        f"{stage['core_seconds'] / 3600:,.1f}",
        f"{stage['products'] / 3600:,.1f}" if stage["products"] else "-",
        *(f"{value:,.2f}" if stage["flops"] else "-" for value in hours),
        f"{stage['stored_bytes'] / 1e9:,.0f}",
        f"{stage['shuffled_bytes'] / 1e9:,.1f}",
    )
