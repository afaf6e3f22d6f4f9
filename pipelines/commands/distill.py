"""A token table out of an embedder: hundreds of times faster, and coarser (docs/embedders.md says by how much).

sluice distill --model DIR --output DIR                    frequencies by Zipf's law
sluice distill --model DIR --output DIR --corpus data      those of a corpus

The output is a model directory in model2vec's format: sluice curate --model DIR.
"""

import argparse
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from sluice.models.checkpoints.default import default_model_dir
from sluice.models.embedders import distill
from sluice.models.embedders.describe import default_cache
from sluice.pipelines.terminal.printing import emit
from sluice.transforms.corpus import reading
from sluice.transforms.documents.inventory import Inputs
from sluice.transforms.records.records import Fields

UNIT_BYTES = 128 << 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", metavar="DIR", help="the embedder (default: the installed all-MiniLM-L6-v2)")
    parser.add_argument("--output", required=True, metavar="DIR", help="a new local directory for the table")
    parser.add_argument(
        "--dimensions", type=int, metavar="N", help="numbers of a vector (default: 256, or all that the embedder has)"
    )
    parser.add_argument(
        "--corpus", nargs="+", metavar="PATH", help="count tokens here: files, directories, globs, URLs"
    )
    parser.add_argument(
        "--text", default="text", metavar="FIELD", help="the corpus's field of the text (default: text)"
    )
    parser.add_argument(
        "--sif",
        type=float,
        metavar="A",
        help="frequent tokens weigh A / (A + p) (default: 1e-4, or 1e-3 with --corpus)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    found = distil(
        args.model or default_model_dir(),
        args.output,
        dimensions=args.dimensions,
        corpus=tuple(args.corpus or ()),
        text=args.text,
        sif=args.sif,
    )
    emit(found, _line(found), as_json=args.json)
    return 0


def distil(
    model: str,
    output: str,
    *,
    dimensions: int | None = None,
    corpus: tuple[str, ...] = (),
    text: str = "text",
    sif: float | None = None,
) -> dict[str, Any]:
    """Write a model's token table into the new local directory `output`, which appears whole.

    `corpus`: files whose tokens are counted; without any, frequencies follow Zipf's law. `sif`: see
    models/embedders/distill.py.
    Returns {output, tokens, dimensions, documents, corpus_tokens}. Raises ValueError for a model or dimensions that do
    not go, FileExistsError when output is there and not empty.
    """
    target = Path(output).expanduser()
    if "://" in output:
        raise ValueError(f"the table is written to a local directory, not to {output}")
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise FileExistsError(f"{output} exists; name a new directory or remove it")
    vocabulary = distill.read_vocabulary(model)
    tokens = len(vocabulary.ids)
    distill.check_options(tokens, dimensions=dimensions, sif=sif)
    target.parent.mkdir(parents=True, exist_ok=True)
    work = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
    work.mkdir()
    try:
        documents, counts = 0, np.zeros(tokens, np.int64)
        frequency = distill.zipf(tokens)
        if corpus:
            distill.write_tokenizer(work, vocabulary.tokenizer)
            read = _Texts(corpus, text)
            counts = distill.count_tokens(work, read, tokens=tokens)
            documents, frequency = read.documents, distill.frequencies(counts)
            if not counts.sum():
                raise ValueError(f"no tokens in {documents:,} documents of {', '.join(corpus)}, with --text {text}")
        vectors = distill.token_vectors(model, vocabulary.ids, least=dimensions or 1, cache=default_cache())
        if dimensions is None:
            dimensions = min(distill.DIMENSIONS, *vectors.shape)
        if sif is None:
            sif = distill.COUNTED_SIF if corpus else distill.SIF
        table = distill.make_table(vectors, frequency, dimensions=dimensions, sif=sif)
        distill.write_table(work, table, vocabulary.tokenizer, teacher=Path(model).name, sif=sif)
        work.rename(target)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return {
        "output": str(target),
        "tokens": tokens,
        "dimensions": dimensions,
        "documents": documents,
        "corpus_tokens": int(counts.sum()),
    }


class _Texts:
    """The valid texts of a corpus, a window at a time, and how many `documents` there were."""

    def __init__(self, paths: tuple[str, ...], text: str) -> None:
        self._units = Inputs(paths, None, UNIT_BYTES).plan()
        self._fields = Fields(text=text)
        self.documents = 0

    def __iter__(self) -> Iterator[list[str]]:
        for unit in self._units:
            for window in reading.read_unit(unit, self._fields):
                texts = list(window.texts or ())
                self.documents += len(texts)
                yield texts


def _line(found: dict[str, Any]) -> str:
    counted = f"{found['corpus_tokens']:,} tokens of {found['documents']:,} documents" if found["documents"] else "Zipf"
    return f"{found['output']}: {found['tokens']:,} tokens, {found['dimensions']} dimensions, frequencies by {counted}"
