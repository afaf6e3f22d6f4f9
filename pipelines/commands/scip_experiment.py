"""The experiment behind the step `scip`: does a model put corrupted code into small clusters and far from centroids?

    sluice scip-experiment                                  # 300 files of the installed packages
    sluice scip-experiment --input src --model MODEL --files 500

Python files are read and parsed, never run. Half of them make the clusters; the other half is corrupted in several
ways and placed among those clusters, clean and corrupted, so that neither had a part in making them. Then a fifth of
all files is replaced by corrupted versions, and what SCIP prunes is compared with chance.
"""

import argparse
import ast
import hashlib
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Group, RenderableType
from rich.text import Text

from sluice.models.arrays.vectors import quantise
from sluice.models.reporting import corruption_shift, corruptions
from sluice.models.reporting.corruption_shift import Clusters
from sluice.models.reporting.corruptions import KINDS
from sluice.pipelines.commands.sample_corpus import MAXIMUM_FILE_BYTES, python_files, search_roots
from sluice.pipelines.terminal.printing import emit

LEAST_CHARACTERS = 300
# Characters that a token of code stands for, at the least: corruptions lie in what the model sees.
CHARACTERS_PER_TOKEN = 3
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
REPLACED, KEEP, ALPHA, DRAWS = 0.2, 0.8, 0.8, 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--input", metavar="DIR", help="a folder of Python files (default: the installed packages)")
    parser.add_argument("--files", type=int, default=300, metavar="N", help="take N files (default: 300)")
    parser.add_argument("--model", metavar="DIR", help="as for curate (default: the installed all-MiniLM-L6-v2)")
    parser.add_argument("--max-tokens", type=int, default=256, help="that the model sees of a file (default: 256)")
    parser.add_argument("--clusters", type=int, metavar="K", help="default: the square root of the files, at most 100")
    parser.add_argument(
        "--share", type=float, default=0.3, help="of the places of one kind in what is seen: so many change (0.3)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of which places and files (default: 0)")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    if args.files < 20:
        raise ValueError(f"--files must be at least 20, not {args.files}")
    if not 0 < args.share <= 1:
        raise ValueError(f"--share is above 0 and at most 1, not {args.share}")
    found = experiment(
        files=args.files,
        folder=args.input,
        embed=_embedder(args.model, args.max_tokens),
        window=CHARACTERS_PER_TOKEN * args.max_tokens,
        clusters=args.clusters,
        share=args.share,
        seed=args.seed,
    )
    emit(found, render(found), as_json=args.json)
    return 0


def _embedder(model: str | None, max_tokens: int) -> Any:
    from sluice.models.checkpoints.default import default_model_dir
    from sluice.models.embedders.describe import default_cache
    from sluice.models.embedders.network import EmbedderConfig, load

    return load(EmbedderConfig(model or default_model_dir(), max_tokens, cache=default_cache())).embed


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
    """Everything that the command prints. embed: texts -> float [n, d]; window: characters that corruptions lie in.

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
    reference = Clusters.of(clean[:half], k)
    rows = []
    for kind, (family, _) in KINDS.items():
        here = np.flatnonzero(kinds == kind)
        row = corruption_shift.compare(reference, clean[of[here]], corrupted[here])
        parses = sum(parse(changed[at][2]) for at in here)
        rows.append({"corruption": kind, "family": family, "parses": parses, **row})
    family_of = np.array([KINDS[kind][0] for kind in kinds])
    harmful = np.flatnonzero(family_of != "control")
    together = corruption_shift.compare(reference, clean[of[harmful]], corrupted[harmful])
    size, distance = reference.place(clean[half:])
    return {
        "files": len(names),
        "clusters": k,
        "share": share,
        "window": window,
        "clean": {
            "files": len(names) - half,
            "size": corruption_shift.quartiles(size),
            "distance": corruption_shift.quartiles(distance),
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
        found, gone = corruption_shift.pruned(mixture[order], mask[order], k=k, keep=KEEP, alpha=ALPHA)
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


# Files ----------------------------------------------------------------------------------------------------------


def take_files(count: int, folder: str | None, *, seed: int) -> Iterator[tuple[str, str]]:
    """(path, text without its head of comments) of `count` files that parse, in the order of their paths' hashes."""
    roots: Sequence[str] = search_roots() if folder is None else [folder]
    if folder is not None and not Path(folder).is_dir():
        raise FileNotFoundError(f"--input {folder} is no folder")
    places = {relative: root for root in reversed(roots) for relative in python_files(root)}
    for relative in sorted(places, key=lambda path: _hash(path, seed)):
        if count == 0:
            return
        text = _read(Path(places[relative], relative))
        if text is not None:
            count -= 1
            yield relative, text


def _hash(path: str, seed: int) -> bytes:
    return hashlib.blake2b(f"{seed}:{path}".encode("utf-8", "replace"), digest_size=16).digest()


def _read(path: Path) -> str | None:
    try:
        if not path.is_file() or path.stat().st_size > MAXIMUM_FILE_BYTES:
            return None
        text = corruptions.without_header(path.read_text("utf-8"))
        if len(text) < LEAST_CHARACTERS or not parse(text):
            return None
        corruptions.read_tokens(text)
    except (OSError, ValueError):
        return None
    return text


def parse(text: str) -> bool:
    """Whether a text is a Python file."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


# A page ---------------------------------------------------------------------------------------------------------


def render(found: dict[str, Any]) -> RenderableType:
    """The tables and what they say."""
    clean = found["clean"]
    spreads = _spread(clean["size"], 0), _spread(clean["distance"], 3)
    rows = [
        ["", *COLUMNS.values()],
        ["clean", str(clean["files"]), str(clean["files"]), "", spreads[0], "", "", spreads[1], "", ""],
    ]
    for row in found["corruptions"]:
        row = row | {"size": _spread(row["size"], 0), "distance": _spread(row["distance"], 3)}
        rows.append([f"{row['family']}: {row['corruption']}", *(str(row[name]) for name in COLUMNS)])
    heading = (
        f"{found['files']} files, {found['clusters']} clusters of half of them; the other half clean and corrupted "
        f"({found['share']:.0%} of the places of a kind in the first {found['window']} characters). Cluster size and "
        "distance: quartiles; smaller to nearer: files, compared with their own clean version.\n"
    )
    widths = [max(map(len, column)) for column in zip(*rows)]
    table = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]
    return Group(Text(heading), *map(Text, table), *(Text(line) for line in _said(found)))


def _spread(quartiles: list[float] | None, digits: int) -> str:
    return "-" if quartiles is None else " ".join(f"{value:.{digits}f}" for value in quartiles)


def _said(found: dict[str, Any]) -> list[str]:
    whole, pruning = found["all"], found["pruning"]
    control = next(row for row in found["corruptions"] if row["family"] == "control")
    return [
        "",
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
