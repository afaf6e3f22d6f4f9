"""The table of the experiment, and what it says."""

from typing import Any

from benchmarks import measure
from benchmarks.scip.experiment import KEEP

COLUMNS = {
    "files": "files",
    "parses": "parse",
    "same_vector": "same vector",
    "size": "size",
    "smaller": "smaller",
    "larger": "larger",
    "distance": "distance",
    "farther": "farther",
    "nearer": "nearer",
}


def page(found: dict[str, Any]) -> str:
    clean = found["clean"]
    spreads = _spread(clean["size"], 0), _spread(clean["distance"], 3)
    rows = [["clean", clean["files"], clean["files"], "", spreads[0], "", "", spreads[1], "", ""]]
    for row in found["corruptions"]:
        row = row | {"size": _spread(row["size"], 0), "distance": _spread(row["distance"], 3)}
        rows.append([f"{row['family']}: {row['corruption']}", *(row[name] for name in COLUMNS)])
    heading = (
        f"{found['files']} files, {found['clusters']} clusters of half of them; the other half clean and corrupted "
        f"({found['share']:.0%} of the places of a kind in the first {found['window']} characters). Cluster size and "
        "distance: quartiles; smaller to nearer: files, compared with their own clean version."
    )
    table = measure.table(["", *COLUMNS.values()], rows)
    return "\n\n".join([heading, table, *_said(found)])


def _spread(quartiles: list[float] | None, digits: int) -> str:
    return "-" if quartiles is None else " ".join(f"{value:.{digits}f}" for value in quartiles)


def _said(found: dict[str, Any]) -> list[str]:
    whole, pruning = found["all"], found["pruning"]
    control = next(row for row in found["corruptions"] if row["family"] == "control")
    return [
        _moved("Corrupted files", whole),
        _moved("Harmlessly edited files", control),
        f"With {pruning['corrupted']} of {found['files']} files corrupted, SCIP ({KEEP:.0%} kept) prunes "
        f"{pruning['scip']:.1%} of them ({pruning['scip_lowest']:.1%} to {pruning['scip_highest']:.1%} in "
        f"{pruning['draws']} draws); random pruning would take {pruning['random']:.1%}.",
    ]


def _moved(who: str, row: dict[str, Any]) -> str:
    return (
        f"{who}: of {row['files']}, {_of(row['smaller'], row['larger'])} are in a smaller cluster than their clean "
        f"version, of those in one of another size; {_of(row['farther'], row['nearer'])} are farther from "
        "the centroid, of those at another distance. Chance is 50%."
    )


def _of(part: int, other: int) -> str:
    return f"{part} of {part + other}" + (f" ({part / (part + other):.0%})" if part + other else "")
