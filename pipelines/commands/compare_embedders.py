"""What a faster way of embedding costs: speed against agreement with the whole model, on your own documents.

    sluice compare-embedders --input corpus
    sluice compare-embedders --input corpus --model MODEL --variant "layers=1-8 dtype=bfloat16" --variant max_tokens=64
    sluice compare-embedders --input corpus --variant model=TABLE --variant "model=intfloat/e5-small prompt='passage: '"

A sample of the corpus is embedded by the whole model in float32, then by each variant. Three numbers say how near a
variant is: the share of every document's 10 nearest neighbours that are the same, and the shares of what semdedup and
the whole of D4 keep of the sample that are the same. The line `other start` has the whole model's vectors and clusters
that k-means began elsewhere: what differs there is not the embedder's doing.
"""

import argparse
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from typing import Any

import numpy as np

from sluice.models.embedders import layer_subset
from sluice.models.embedders.config import DTYPES, EmbedderConfig
from sluice.models.reporting import comparison
from sluice.pipelines.commands.compare_page import named, render
from sluice.pipelines.commands.text_sample import LEAST, take_texts
from sluice.pipelines.recipe.presets import DEDUP_SHARE
from sluice.pipelines.terminal.printing import emit
from sluice.pipelines.terminal.progress import doing

MOST = 20_000
TURNS, TIMED, ANGLES, NEIGHBOURS, SHORTEST = 3, 256, 64, 10, 16
NUMBERS = ("max_tokens", "dimensions")
OF_WHOLE = ("prompt", "prompt_name", "convention", "long_documents")
VARIED = ("model", *NUMBERS, "dtype", "layers", "pooling", *OF_WHOLE)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--input", nargs="+", required=True, metavar="PATH", help="as for curate")
    parser.add_argument("--format", help="as for curate (default: told by the files' names)")
    parser.add_argument("--text", default="text", metavar="FIELD", help="field of the text (default: text)")
    parser.add_argument("--documents", type=int, default=1000, metavar="N", help=f"{LEAST} to {MOST} (default: 1000)")
    parser.add_argument("--model", metavar="MODEL", help="as for curate (default: the installed all-MiniLM-L6-v2)")
    parser.add_argument("--max-tokens", type=int, default=256, metavar="N", help="of the whole model (default: 256)")
    for name in OF_WHOLE:
        parser.add_argument(f"--{name.replace('_', '-')}", metavar="X", help="of the whole model, as for curate")
    parser.add_argument("--keep", default="0.5", metavar="R", help="share that D4 keeps (default: 0.5)")
    parser.add_argument(
        "--drop", type=int, nargs="+", metavar="N", help="layers to drop (default: 1/6, 1/3, 1/2 of them)"
    )
    parser.add_argument(
        "--variant",
        action="append",
        metavar="OPTIONS",
        help=f"name=value with blanks between, of {', '.join(VARIED)}; may be repeated; another model takes only "
        "--max-tokens of the whole one's options (default: a few of each but models)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    from sluice.models.checkpoints.default import default_model_dir
    from sluice.models.embedders.describe import check_model, default_cache

    if not LEAST <= args.documents <= MOST:
        raise ValueError(f"--documents is from {LEAST} to {MOST}, not {args.documents}")
    keep = _share(args.keep)
    variants = None if args.variant is None else [parse_variant(text) for text in args.variant]
    given = {name: getattr(args, name) for name in OF_WHOLE if getattr(args, name) is not None}
    whole = EmbedderConfig(args.model or default_model_dir(), args.max_tokens, cache=default_cache(), **given)
    for one in variants or ():
        if "model" in one:
            check_model(one["model"])
    texts, pieces, units = take_texts(args.input, args.format, args.text, args.documents)
    found = compare(texts, whole, keep=keep, variants=variants, drop=args.drop)
    found |= {"pieces": pieces, "pieces_of": units}
    emit(found, render(found), as_json=args.json)
    return 0


def _share(text: str) -> Decimal:
    try:
        keep = Decimal(text)
    except InvalidOperation:
        keep = Decimal(0)
    if not 0 < keep <= 1:
        raise ValueError(f"--keep is a share above 0 and at most 1, not {text}")
    return keep


def parse_variant(text: str) -> dict[str, Any]:
    """ "layers=1-8 prompt='passage: '" -> fields of an EmbedderConfig, values as a shell reads them.

    Raises ValueError naming what it cannot read.
    """
    options: dict[str, Any] = {}
    try:
        parts = shlex.split(text)
    except ValueError as error:
        raise ValueError(f"--variant {text!r}: {error}") from None
    for part in parts:
        name, equals, value = part.partition("=")
        name = name.replace("-", "_")
        if not equals or name not in VARIED:
            raise ValueError(f"--variant {text!r}: {part!r} is not one of {', '.join(VARIED)} with =value")
        if name in NUMBERS and not value.isdigit():
            raise ValueError(f"--variant {text!r}: {name} must be a whole number, not {value!r}")
        options[name] = int(value) if name in NUMBERS else value
    if not options:
        raise ValueError("--variant is empty")
    return options


def compare(
    texts: Sequence[str],
    whole: EmbedderConfig,
    *,
    keep: Decimal,
    variants: Sequence[dict[str, Any]] | None = None,
    drop: Sequence[int] | None = None,
) -> dict[str, Any]:
    """Everything that the command prints. variants: fields of an EmbedderConfig each; None: a few of each kind.

    Two models are loaded at a time. Raises ValueError for a model that cannot be loaded; what a variant lacks is said
    in its row.
    """
    from sluice.models.embedders.network import load

    embedder = load(whole)
    with doing(f"{len(texts):,} documents by {whole.model}"):
        vectors, valid = embedder.try_embed(texts)
        rate = _rate(embedder, texts)
    measured = {whole: (vectors, valid, 1.0)}
    if valid.sum() < LEAST:
        raise ValueError(f"the model has vectors for {int(valid.sum())} of {len(texts)} texts; {LEAST} are needed")
    with doing("which layers change least"):
        blocks = list(_blocks(embedder, texts[:ANGLES], drop))
    planned = [
        *(variants if variants is not None else _usual(whole, embedder)),
        *({"layers": one["layers"]} for one in blocks),
    ]
    order = np.random.default_rng(0).permutation(int(valid.sum()))
    near = comparison.neighbours(vectors[valid], NEIGHBOURS)
    chosen = comparison.select(vectors[valid], keep=keep, dedup=DEDUP_SHARE, order=order)
    again = comparison.select(vectors[valid], keep=keep, dedup=DEDUP_SHARE, order=order[::-1])

    def row(options: dict[str, Any]) -> dict[str, Any]:
        config = variant_of(whole, options)
        # The mean of a long document's windows is of vectors that were cut before.
        base = replace(config, dimensions=None) if config.long_documents == "truncate" else config
        if base not in measured:
            variant = load(base)
            measured[base] = *variant.try_embed(texts), _speed(variant, embedder, texts)
        found, there, times = measured[base]
        both = valid & there
        if not both.all():
            raise ValueError(f"no vector for {int((~both).sum())} of {len(texts)} texts")
        if config.dimensions is not None and base.dimensions is None:
            found = _cut(found, config.dimensions)
        picked = comparison.select(found, keep=keep, dedup=DEDUP_SHARE, order=order)
        return {
            "dimension": found.shape[1],
            "documents_per_second": rate * times,
            "speed": times,
            "overlap": comparison.overlap(near, comparison.neighbours(found, NEIGHBOURS)),
            **_agreements(chosen, picked),
        }

    rows = []
    for number, options in enumerate(planned, 1):
        try:
            with doing(f"variant {number} of {len(planned)}: {named(options)}"):
                rows.append({"options": options, **row(options), "problem": None})
        except ValueError as error:
            rows.append({"options": options, "problem": str(error)})
    return {
        "model": whole.model,
        "documents": int(valid.sum()),
        "neighbours": NEIGHBOURS,
        "keep": float(keep),
        "semdedup_keep": float(max(keep, DEDUP_SHARE)),
        "whole": {"max_tokens": whole.max_tokens, "dimension": vectors.shape[1], "documents_per_second": rate},
        "other_start": _agreements(chosen, again),
        "blocks": blocks,
        "variants": rows,
        "timed": min(TIMED, len(texts)),
    }


def variant_of(whole: EmbedderConfig, options: Mapping[str, Any]) -> EmbedderConfig:
    """What a variant loads. Another model has the whole one's max_tokens, and no other option of it."""
    if "model" in options:
        whole = EmbedderConfig(options["model"], whole.max_tokens, cache=whole.cache)
    if options.keys() & {"prompt", "prompt_name"}:  # one takes the place of the other
        whole = replace(whole, prompt=None, prompt_name=None)
    return replace(whole, **options)


def _agreements(one: comparison.Selection, other: comparison.Selection) -> dict[str, float]:
    return {
        "semdedup": comparison.agreement(one.semdedup, other.semdedup),
        "kept": comparison.agreement(one.kept, other.kept),
    }


def _speed(embedder: Any, other: Any, texts: Sequence[str]) -> float:
    """How many times as fast as `other`: the median of turns, as machines are rarely still.

    Both must have embedded these texts before: programs are compiled the first time.
    """
    some = _some(texts)
    return float(np.median([_seconds(other, some) / _seconds(embedder, some) for _ in range(TURNS)]))


def _rate(embedder: Any, texts: Sequence[str]) -> float:
    """Documents a second, the median of turns."""
    some = _some(texts)
    return len(some) / float(np.median([_seconds(embedder, some) for _ in range(TURNS)]))


def _some(texts: Sequence[str]) -> list[str]:
    return [texts[i] for i in np.unique(np.linspace(0, len(texts) - 1, min(TIMED, len(texts))).astype(int))]


def _seconds(embedder: Any, texts: Sequence[str]) -> float:
    started = time.perf_counter()
    embedder.try_embed(texts)
    return time.perf_counter() - started


def _cut(vectors: np.ndarray, dimensions: int) -> np.ndarray:
    if not 1 <= dimensions <= vectors.shape[1]:
        raise ValueError(f"dimensions {dimensions}: the model's vectors have {vectors.shape[1]}")
    found = vectors[:, :dimensions]
    return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)


def _usual(whole: EmbedderConfig, embedder: Any) -> list[dict[str, Any]]:
    """bfloat16, fewer tokens, fewer dimensions."""
    layers = getattr(embedder, "layers", 0)
    found: list[dict[str, Any]] = [{"dtype": name} for name in DTYPES if layers and name not in ("auto", whole.dtype)]
    found += [{"max_tokens": n} for n in (whole.max_tokens // 2, whole.max_tokens // 4) if n >= SHORTEST]
    return found + [{"dimensions": embedder.dimension // n} for n in (2, 4) if embedder.dimension >= 2 * n]


def _blocks(embedder: Any, texts: Sequence[str], drop: Sequence[int] | None) -> Iterator[dict[str, Any]]:
    """For each number of layers to drop, the block that changes the direction of its input least."""
    layers = getattr(embedder, "layers", 0)
    if drop is None:
        drop = sorted({count for part in (6, 3, 2) if 1 <= (count := layers // part) < layers})
    if not drop:
        return
    angles = embedder.layer_angles(texts)
    for count in drop:
        first = layer_subset.choose_block(angles, count)
        kept = [layer for layer in range(layers) if not first <= layer < first + count]
        yield {
            "drop": count,
            "first": first + 1,
            "last": first + count,
            "of": layers,
            "angle": float(angles[first, first + count]),
            "layers": layer_subset.shown_layers(kept),
        }
