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
import time
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from typing import Any

import numpy as np

from sluice.models.embedders.config import EmbedderConfig
from sluice.models.reporting import comparison
from sluice.pipelines.commands.compare_page import named, render
from sluice.pipelines.commands.text_sample import LEAST, take_texts
from sluice.pipelines.commands.variants import (
    OF_WHOLE,
    VARIED,
    least_blocks,
    parse_variant,
    usual_variants,
    variant_of,
)
from sluice.pipelines.recipe.presets import DEDUP_SHARE
from sluice.pipelines.terminal.printing import emit
from sluice.pipelines.terminal.progress import doing

MOST = 20_000
TURNS, TIMED, ANGLES, NEIGHBOURS = 3, 256, 64, 10


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
    for variant in variants or ():
        if "model" in variant:
            check_model(variant["model"])
    texts, pieces, units = take_texts(args.input, args.format, args.text, args.documents)
    compared = compare(texts, whole, keep=keep, variants=variants, drop=args.drop)
    compared |= {"pieces": pieces, "pieces_of": units}
    emit(compared, render(compared), as_json=args.json)
    return 0


def _share(text: str) -> Decimal:
    try:
        keep = Decimal(text)
    except InvalidOperation:
        keep = Decimal(0)
    if not 0 < keep <= 1:
        raise ValueError(f"--keep is a share above 0 and at most 1, not {text}")
    return keep


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
    comparing = Comparing(texts, whole, keep)
    with doing("which layers change least"):
        blocks = list(least_blocks(comparing.embedder, texts[:ANGLES], drop))
    if variants is None:
        variants = usual_variants(whole, comparing.embedder)
    planned = [*variants, *({"layers": block["layers"]} for block in blocks)]
    rows = []
    for number, options in enumerate(planned, 1):
        try:
            with doing(f"variant {number} of {len(planned)}: {named(options)}"):
                rows.append({"options": options, **comparing.row(options), "problem": None})
        except ValueError as error:
            rows.append({"options": options, "problem": str(error)})
    return comparing.about_whole() | {"blocks": blocks, "variants": rows}


class Comparing:
    """The whole model's vectors, and what semdedup and D4 keep with them; each variant is set beside these.

    Raises ValueError where the model has vectors for fewer than LEAST of the texts.
    """

    def __init__(self, texts: Sequence[str], whole: EmbedderConfig, keep: Decimal):
        from sluice.models.embedders.load import load

        self.texts, self.whole, self.keep = texts, whole, keep
        self.embedder = load(whole)
        with doing(f"{len(texts):,} documents by {whole.model}"):
            self.vectors, self.valid = self.embedder.try_embed(texts)
            self.rate = _rate(self.embedder, texts)
        self.documents = int(self.valid.sum())
        if self.documents < LEAST:
            raise ValueError(f"the model has vectors for {self.documents} of {len(texts)} texts; {LEAST} are needed")
        # By configuration without cut dimensions: vectors, which texts have one, times as fast as the whole.
        self._measured = {whole: (self.vectors, self.valid, 1.0)}
        self._order = np.random.default_rng(0).permutation(self.documents)
        self._neighbours = comparison.neighbours(self.vectors[self.valid], NEIGHBOURS)
        self._selection = self._select(self.vectors[self.valid], self._order)

    def _select(self, vectors: np.ndarray, order: np.ndarray) -> comparison.Selection:
        return comparison.select(vectors, keep=self.keep, dedup=DEDUP_SHARE, order=order)

    def about_whole(self) -> dict[str, Any]:
        """What is said of the whole model; `other_start`: k-means began elsewhere."""
        again = self._select(self.vectors[self.valid], self._order[::-1])
        return {
            "model": self.whole.model,
            "documents": self.documents,
            "neighbours": NEIGHBOURS,
            "keep": float(self.keep),
            "semdedup_keep": float(max(self.keep, DEDUP_SHARE)),
            "whole": {
                "max_tokens": self.whole.max_tokens,
                "dimension": self.vectors.shape[1],
                "documents_per_second": self.rate,
            },
            "other_start": _agreements(self._selection, again),
            "timed": min(TIMED, len(self.texts)),
        }

    def row(self, options: dict[str, Any]) -> dict[str, Any]:
        """A variant's speed, and how much its vectors and selections agree with the whole model's."""
        config = variant_of(self.whole, options)
        # Dimensions are cut from vectors at hand, but the mean of a long document's windows is of vectors cut before.
        base = replace(config, dimensions=None) if config.long_documents == "truncate" else config
        vectors, valid, times = self._measure(base)
        both = self.valid & valid
        if not both.all():
            raise ValueError(f"no vector for {int((~both).sum())} of {len(self.texts)} texts")
        if config.dimensions is not None and base.dimensions is None:
            vectors = _cut(vectors, config.dimensions)
        return {
            "dimension": vectors.shape[1],
            "documents_per_second": self.rate * times,
            "speed": times,
            "overlap": comparison.overlap(self._neighbours, comparison.neighbours(vectors, NEIGHBOURS)),
            **_agreements(self._selection, self._select(vectors, self._order)),
        }

    def _measure(self, config: EmbedderConfig) -> tuple[np.ndarray, np.ndarray, float]:
        from sluice.models.embedders.load import load

        if config not in self._measured:
            variant = load(config)
            vectors, valid = variant.try_embed(self.texts)
            self._measured[config] = vectors, valid, _speed(variant, self.embedder, self.texts)
        return self._measured[config]


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
    short = vectors[:, :dimensions]
    return short / np.maximum(np.linalg.norm(short, axis=1, keepdims=True), 1e-12)
