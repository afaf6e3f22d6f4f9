"""The tensors of a token table in model2vec's format (models/embedders/table.py), and checks that they fit."""

import numpy as np

from sluice.models.checkpoints import tensors


def width_of(directory: str, stored: dict[str, tensors.Tensor], vocabulary: dict[str, int]) -> int:
    """How long the rows are. Raises ValueError for tensors that are missing, not known, or do not fit each other."""
    if "embeddings" not in stored or stored.keys() - {"embeddings", "weights", "mapping"}:
        names = ", ".join(sorted(stored))
        raise ValueError(f"{directory} holds {names}: a token table has embeddings, and may have weights and mapping")
    shape, ids = stored["embeddings"].shape, max(vocabulary.values()) + 1
    if len(shape) != 2 or 0 in shape:
        raise ValueError(f"{directory}: embeddings is {shape}, not rows of numbers")
    if "mapping" not in stored and (shape[0] != len(vocabulary) or ids > shape[0]):
        raise ValueError(
            f"{directory}: {shape[0]} rows of embeddings for {len(vocabulary)} tokens with ids below {ids}"
        )
    for name in ("weights", "mapping"):
        if name in stored and (len(stored[name].shape) != 1 or stored[name].shape[0] < ids):
            raise ValueError(f"{directory}: {name} is {stored[name].shape} for token ids below {ids}")
    return shape[1]


def read_rows(directory: str, stored: dict[str, tensors.Tensor], ids: int) -> np.ndarray:
    """float32 [ids, d]: what each token adds to a text. Raises ValueError for rows that are not there or not finite."""
    table = stored["embeddings"].read().astype(np.float32)
    if "mapping" in stored:
        mapping = stored["mapping"].read()
        if mapping.dtype.kind not in "iu" or mapping.min() < 0 or mapping.max() >= len(table):
            raise ValueError(f"{directory}: mapping names rows that embeddings does not have")
        table = table[mapping]
    table = table[:ids]
    if "weights" in stored:
        table = table * stored["weights"].read()[:ids, None].astype(np.float32)
    if len(bad := np.flatnonzero(~np.isfinite(table).all(axis=1))):
        raise ValueError(f"{directory}: {len(bad)} tokens have rows that are not finite, the first: {bad[0]}")
    return table


def row_of_nothing(table: np.ndarray) -> np.ndarray:
    """float32 [d], not zero: what stands for a text without known tokens."""
    mean = table.mean(axis=0, dtype=np.float64)
    return (mean if mean.any() else np.eye(1, table.shape[1])[0]).astype(np.float32)
