"""Links between documents as arrays: a document is one number, its unit above its row."""

from typing import Any

import numpy as np
import pyarrow as pa

from sluice.transforms.stages.artifacts import Artifact
from sluice.transforms.stages.columns import numbers

EDGES = pa.schema([("vertex", pa.uint64()), ("to", pa.uint64())])
ROW = np.uint64(2**32 - 1)
UNIT = np.uint64(32)


def vertices(unit: int, rows: np.ndarray) -> np.ndarray:
    """uint64 [n]: addresses as numbers, in the order of units and rows."""
    return (np.uint64(unit) << UNIT) | rows.astype(np.uint64)


def unique_edges(edges: np.ndarray) -> np.ndarray:
    """uint64 [m, 2], sorted, each once."""
    edges = edges[np.lexsort((edges[:, 1], edges[:, 0]))]
    new = np.ones(len(edges), bool)
    new[1:] = (edges[1:] != edges[:-1]).any(axis=1)
    return edges[new]


def by_unit(vertex: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """uint64 [n] -> (unit, positions of the vertices in it), for every unit that occurs."""
    units = vertex >> UNIT
    order = np.argsort(units, kind="stable")
    there, starts = np.unique(units[order], return_index=True)
    return list(zip(there.tolist(), np.split(order, starts[1:])))


def write_edges(target: Artifact, unit: int, edges: np.ndarray, stats: dict[str, Any] | None = None) -> None:
    """uint64 [m, 2] as a unit's part; `edges` counts them."""
    table = pa.table([pa.array(edges[:, 0]), pa.array(edges[:, 1])], schema=EDGES)
    target.write(unit, [table], EDGES, {"edges": len(edges), **(stats or {})})


def read_edges(artifact: Artifact, unit: int) -> np.ndarray:
    """uint64 [m, 2] of a unit's part."""
    table = artifact.read(unit)
    return np.stack([numbers(table, "vertex"), numbers(table, "to")], axis=1).reshape(-1, 2)
