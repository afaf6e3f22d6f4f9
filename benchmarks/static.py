"""Token tables: texts a second of one core, what they lose against the embedder they came from, and a whole curation.

    python benchmarks/static.py                           distils all-MiniLM-L6-v2, then speed and neighbours
    python benchmarks/static.py --table DIR               an existing table
    python benchmarks/static.py --table DIR --curate 1000000

Speed is of texts of 200 words, in seconds of processor time, so that other work on the machine matters less. The first
pass meets every word for the first time; a run over a corpus is between it and the second. Overlap@10: of the ten
nearest neighbours of each document of the sample corpus by the embedder, the share that the table has among its ten.

--curate: D4 over so many short texts, paragraphs of real documents; where they run out, the same again from another
word on. Time and peak memory are of a process of its own.
"""

import argparse
import gzip
import itertools
import json
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import measure
import numpy as np

ROOT = Path(__file__).parents[1]
WEB = ROOT.parent / "shared" / "data" / "web"
WORDS = 200
SHORTEST = 60  # characters of a paragraph


def sample(limit: int | None = None) -> list[str]:
    """Texts of the sample corpus, made where it is not there."""
    from sluice.pipelines.sample_corpus import write_sample_corpus

    with tempfile.TemporaryDirectory() as folder:
        found = ROOT / "sample"
        if not found.is_dir():
            found = Path(folder) / "sample"
            write_sample_corpus(str(found), limit=2000)
        lines = itertools.chain.from_iterable(path.open(encoding="utf-8") for path in sorted(found.glob("*.jsonl")))
        return [json.loads(line)["text"] for line in itertools.islice(lines, limit)]


def real_texts() -> Iterator[str]:
    """Web documents where that corpus is at hand, then the sample corpus."""
    for path in sorted(WEB.glob("*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            yield from (json.loads(line)["text"] for line in lines)
    yield from sample()


def of_words(count: int, words: int) -> list[str]:
    """The first `count` pieces of `words` words of the real texts."""

    def pieces() -> Iterator[str]:
        for text in real_texts():
            split = text.split(" ")
            yield from (" ".join(split[at : at + words]) for at in range(0, len(split) - words + 1, words))

    return list(itertools.islice(pieces(), count))


def short_texts(count: int) -> Iterator[str]:
    """`count` different paragraphs of real texts; when there are no more, they come again turned by some words."""
    paragraphs = dict.fromkeys(
        paragraph.strip()
        for text in real_texts()
        for paragraph in text.split("\n")
        if len(paragraph.strip()) >= SHORTEST
    )
    given = 0
    for turn in itertools.count():
        for paragraph in paragraphs:
            if given == count:
                return
            if turn:
                words = paragraph.split()
                at = turn % len(words)
                paragraph = f"{' '.join(words[at:] + words[:at])} {turn}"
            yield paragraph
            given += 1


def speed(table: str, documents: int) -> dict[str, Any]:
    """Texts of WORDS words a second, by passes, in seconds of one core's time and of the clock; for measure.run."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    from sluice.models.embedder import EmbedderConfig, load

    texts = of_words(documents, WORDS)
    embedder = load(EmbedderConfig(table, max_tokens=2 * WORDS))
    embedder.embed(["load the libraries"])
    found: dict[str, Any] = {"documents": len(texts)}
    for name in ("first", "second", "third"):
        start, cores = time.perf_counter(), time.process_time()
        embedder.embed(texts)
        found[name] = [len(texts) / (time.process_time() - cores), len(texts) / (time.perf_counter() - start)]
    cores = time.process_time()
    embedder.count_tokens(texts)
    found["counting"] = len(texts) / (time.process_time() - cores)
    return found


def overlap(table: str, teacher: str, documents: int, *, neighbours: int = 10) -> float:
    """Of the nearest neighbours that the teacher finds, the share that the table finds too."""
    from sluice.models.embedder import EmbedderConfig, load

    texts = list(dict.fromkeys(sample(documents)))
    nearest = []
    for model in (table, teacher):
        vectors = load(EmbedderConfig(model)).embed(texts)
        similar = vectors @ vectors.T
        np.fill_diagonal(similar, -np.inf)
        nearest.append(np.argpartition(-similar, neighbours, axis=1)[:, :neighbours])
    return float(np.mean([len(np.intersect1d(a, b)) / neighbours for a, b in zip(*nearest)]))


def curate(table: str, corpus: str, run: str) -> dict[str, Any]:
    """D4 over a corpus; for measure.run."""
    from sluice.pipelines.curate import curate

    start = time.perf_counter()
    report = curate([corpus], run, model=table, keep="0.5")
    return {"seconds": time.perf_counter() - start, "stages": report.get("stages")}


def print_curation(table: str, documents: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder) / "corpus"
        corpus.mkdir()
        characters = 0
        with (corpus / "texts.jsonl").open("w", encoding="utf-8") as file:
            for number, text in enumerate(short_texts(documents)):
                characters += len(text)
                file.write(json.dumps({"id": number, "text": text}, ensure_ascii=False) + "\n")
        found, peak = measure.run("static", "curate", table=table, corpus=str(corpus), run=str(Path(folder) / "run"))
    length = characters / documents
    print(f"curated {documents:,} texts of {length:.0f} characters: {found['seconds']:.1f} s, {peak:.0f} MB")
    for stage in found["stages"] or []:
        print(f"  {json.dumps(stage)[:150]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", default=None, help="a token table; by default one is distilled")
    parser.add_argument("--teacher", default=None, help="the embedder that it is compared with (all-MiniLM-L6-v2)")
    parser.add_argument("--documents", type=int, default=20_000, help="texts that speed is measured with")
    parser.add_argument(
        "--sample", type=int, default=2000, help="documents that neighbours are looked for among; 0: none"
    )
    parser.add_argument("--curate", type=int, default=0, metavar="N", help="curate so many short texts instead")
    flags = parser.parse_args()

    from sluice.models.default_model import default_model_dir
    from sluice.pipelines.distill import distil

    teacher = flags.teacher or default_model_dir()
    print(f"{measure.machine()}, {len(os.sched_getaffinity(0))} of them usable")
    with tempfile.TemporaryDirectory() as folder:
        table = flags.table
        if table is None:
            start = time.perf_counter()
            table = str(distil(teacher, str(Path(folder) / "table"))["output"])
            print(f"distilled in     {time.perf_counter() - start:8.1f} s")
        if flags.curate:
            print_curation(table, flags.curate)
            return
        found, peak = measure.run("static", "speed", table=table, documents=flags.documents)
        for name in ("first", "second", "third"):
            core, clock = found[name]
            print(f"{name} pass".ljust(17) + f"{core:8.0f} documents/core-second, {clock:8.0f} documents/s")
        print(f"counting tokens  {found['counting']:8.0f} documents/core-second")
        print(f"peak memory      {peak:8.0f} MB")
        if flags.sample:
            print(f"overlap@10       {overlap(table, teacher, flags.sample):8.3f}")


if __name__ == "__main__":
    main()
