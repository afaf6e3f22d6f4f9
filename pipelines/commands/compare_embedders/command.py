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
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from sluice.models.checkpoints.default import default_model_dir
from sluice.models.embedders.config import EmbedderConfig
from sluice.models.embedders.describe import check_model, default_cache
from sluice.pipelines.commands.compare_embedders.comparing import Comparing
from sluice.pipelines.commands.compare_embedders.page import named, render
from sluice.pipelines.commands.compare_embedders.text_sample import LEAST, take_texts
from sluice.pipelines.commands.compare_embedders.variants import (
    OF_WHOLE,
    VARIED,
    least_blocks,
    parse_variant,
    usual_variants,
)
from sluice.pipelines.terminal.printing import emit
from sluice.pipelines.terminal.progress import doing

MOST = 20_000
ANGLES = 64


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
