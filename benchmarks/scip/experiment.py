"""The experiment itself: corrupted and clean files placed among clusters, and what SCIP prunes of a mixture of them."""

from typing import Any

import numpy as np

from benchmarks.scip import corruptions, shift
from benchmarks.scip.corruptions import KINDS
from benchmarks.scip.files import LEAST_CHARACTERS, parse, take_files
from sluice.models.arrays.vectors import quantise

# The share of all files that is replaced by corrupted ones, SCIP's own share to keep and alpha, and how many mixtures.
REPLACED, KEEP, ALPHA, DRAWS = 0.2, 0.8, 0.8, 10


def experiment(
    *,
    files: int,
    folder: str | None,
    embed: Any,
    window: int,
    clusters: int | None = None,
    share: float = 0.3,
    seed: int = 0,
) -> dict[str, Any]:
    """Everything that the page shows. embed: texts -> float [n, d]; window: characters that corruptions lie in.

    Raises ValueError where there are fewer than 20 files, or fewer than clusters.
    """
    texts = dict(take_files(files, folder, seed=seed))
    if len(texts) < 20:
        raise ValueError(f"{len(texts)} Python files of {LEAST_CHARACTERS} characters were found; 20 are needed")
    names = list(texts)
    half = len(names) // 2
    k = clusters or min(round(half**0.5), 100)
    if not 1 <= k <= half:
        raise ValueError(f"{k} clusters for {half} files")
    changed: list[tuple[int, str, str]] = []
    for number, name in enumerate(names[half:], start=half):
        for kind in KINDS:
            text = corruptions.corrupt(texts[name], kind, share=share, window=window, name=name, seed=seed)
            if text is not None:
                changed.append((number, kind, text))
    vectors = quantise(embed([*texts.values(), *(text for _, _, text in changed)]))
    clean, corrupted = vectors[: len(names)], vectors[len(names) :]
    of = np.array([number for number, _, _ in changed])
    kinds = np.array([kind for _, kind, _ in changed])
    reference = shift.Clusters.of(clean[:half], k)
    rows = []
    for kind, (family, _) in KINDS.items():
        here = np.flatnonzero(kinds == kind)
        row = shift.compare(reference, clean[of[here]], corrupted[here])
        parses = sum(parse(changed[at][2]) for at in here)
        rows.append({"corruption": kind, "family": family, "parses": parses, **row})
    family_of = np.array([KINDS[kind][0] for kind in kinds])
    harmful = np.flatnonzero(family_of != "control")
    together = shift.compare(reference, clean[of[harmful]], corrupted[harmful])
    size, distance = reference.place(clean[half:])
    return {
        "files": len(names),
        "clusters": k,
        "share": share,
        "window": window,
        "clean": {
            "files": len(names) - half,
            "size": shift.quartiles(size),
            "distance": shift.quartiles(distance),
        },
        "corruptions": rows,
        "all": together,
        "pruning": _prune(clean, corrupted, of=of, harmful=harmful, k=k, seed=seed),
    }


def _prune(
    clean: np.ndarray, corrupted: np.ndarray, *, of: np.ndarray, harmful: np.ndarray, k: int, seed: int
) -> dict[str, Any]:
    """What SCIP prunes of mixtures, each with other files replaced."""
    random = np.random.default_rng(seed)
    candidates = np.unique(of[harmful])
    replaced = min(round(REPLACED * len(clean)), len(candidates))
    shares, gone = [], 0
    for _ in range(DRAWS):
        mixture, mask = clean.copy(), np.zeros(len(clean), bool)
        for number in random.choice(candidates, replaced, replace=False):
            mixture[number] = corrupted[random.choice(harmful[of[harmful] == number])]
            mask[number] = True
        order = random.permutation(len(clean))
        found, gone = shift.pruned(mixture[order], mask[order], k=k, keep=KEEP, alpha=ALPHA)
        shares.append(found / max(replaced, 1))
    return {
        "draws": DRAWS,
        "corrupted": replaced,
        "removed": gone,
        "random": gone / len(clean),
        "scip": float(np.mean(shares)),
        "scip_lowest": min(shares),
        "scip_highest": max(shares),
    }
