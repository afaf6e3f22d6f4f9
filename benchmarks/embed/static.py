"""Token tables: texts a second of one core, what they lose against the embedder they came from, and a whole curation.

    python -m benchmarks.embed.static                           distils all-MiniLM-L6-v2, then speed and neighbours
    python -m benchmarks.embed.static --table DIR               an existing table
    python -m benchmarks.embed.static --table DIR --peer-python /path/to/venv/bin/python
    python -m benchmarks.embed.static --table DIR --curate 1000000

Speed is of texts of 200 words, in seconds of one core's time, the best of `--rounds`. The first pass meets every word
for the first time, the later ones none; the pass over new texts, which come after all others, is what a corpus costs.
Beside them stand bounds measured in the same round: Python's `text.split()` of the same texts, and copying the table's
row of every token, which is the least that an average of these rows can cost. --peer-python, an interpreter with
model2vec, times that package with the same table on the first 4,000 texts. Overlap@10: of the ten nearest neighbours
of each document of the sample corpus by the embedder, the share that the table has among its ten.

--curate: D4 over so many short texts, paragraphs of real documents; where they run out, the same again from another
word on; how many distinct paragraphs there are is printed. Time and peak memory are of a process of its own.
"""

import argparse
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import measure
from benchmarks.embed.samples import of_words, paragraphs_of, real_texts, sample, short_texts

WORDS = 200
PEER = 4000  # texts that the peer is timed with


def spent(work: Callable[[], Any]) -> float:
    """Seconds of processor time."""
    start = time.process_time()
    work()
    return time.process_time() - start


def one_core() -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def speed(table: str, documents: int, vectors: str) -> dict[str, Any]:
    """Microseconds of one core for a text of WORDS words, by what is done; for measure.run.

    Also writes the vectors of the first PEER texts to the file `vectors`.
    """
    one_core()
    from sluice.models.embedders.load import EmbedderConfig, load

    texts = of_words(2 * documents, WORDS)
    new = texts[len(texts) // 2 :]
    texts = texts[: len(texts) // 2]
    embedder = load(EmbedderConfig(table, max_tokens=2 * WORDS))
    embedder.embed(["load the libraries"])
    seconds = {name: spent(lambda: embedder.embed(texts)) for name in ("first pass", "second pass", "third pass")}
    seconds["new texts"] = spent(lambda: embedder.embed(new)) * len(texts) / len(new)
    seconds["counting tokens"] = spent(lambda: embedder.count_tokens(texts))
    seconds["text.split()"] = spent(lambda: [text.split() for text in texts])
    rows = np.zeros((embedder._most_characters, embedder.dimension), np.float32)
    ids = embedder.tokenize(texts)
    stored = embedder.rows
    seconds["copying rows"] = spent(lambda: [stored.take(i, axis=0, out=rows[: len(i)], mode="clip") for i in ids])
    np.save(vectors, embedder.embed(texts[:PEER]))
    found = {name: value / len(texts) * 1e6 for name, value in seconds.items()}
    return {"documents": len(texts), "new": len(new), "tokens": sum(map(len, ids)) / len(ids), "microseconds": found}


def serve_as_peer(table: str, vectors: str) -> None:
    """What the other interpreter runs: model2vec over the first PEER texts; prints core-seconds and the difference."""
    one_core()
    from model2vec import StaticModel

    texts = of_words(PEER, WORDS)
    model = StaticModel.from_pretrained(table)
    options = {"max_length": 2 * WORDS, "use_multiprocessing": False}
    model.encode(texts[:10], **options)
    found: list[np.ndarray] = []
    seconds = spent(lambda: found.append(model.encode(texts, **options)))
    print(seconds / len(texts) * 1e6, float(np.abs(found[0] - np.load(vectors)).max()))


def peer(python: str, table: str, vectors: str) -> tuple[float, float]:
    """(microseconds of one core for a text, largest difference from the vectors in the file)."""
    environment = {
        **os.environ,
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": "1",
        "PYTHONPATH": str(measure.ROOT),
    }
    command = [python, "-m", "benchmarks.embed.static", "--as-peer", vectors, "--table", table]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment, check=True)
    microseconds, difference = map(float, done.stdout.split()[-2:])
    return microseconds, difference


def print_speed(table: str, documents: int, *, rounds: int, peer_python: str | None) -> None:
    found: list[dict[str, float]] = []
    difference = 0.0
    with tempfile.TemporaryDirectory() as folder:
        vectors = str(Path(folder) / "vectors.npy")
        for _ in range(rounds):
            made, peak = measure.run("embed.static", "speed", table=table, documents=documents, vectors=vectors)
            found.append(made["microseconds"])
            if peer_python:
                found[-1]["model2vec"], difference = peer(peer_python, table, vectors)
    print(f"{made['documents']} texts of {made['tokens']:.0f} tokens, then {made['new']} new ones; peak {peak:.0f} MB")
    best = {name: min(round_[name] for round_ in found) for name in found[0]}
    worst = {name: max(round_[name] for round_ in found) for name in found[0]}
    rows = [
        [name, f"{1e6 / value:,.0f}", f"{value:.1f}", f"{worst[name]:.1f}", f"{best['second pass'] / value:.2f}"]
        for name, value in best.items()
    ]
    print(measure.table(["one core", "texts/s", "us a text", "worst round", "second pass / this"], rows))
    if peer_python:
        print(f"largest difference from model2vec's vectors: {difference:.1e}")


def overlap(table: str, teacher: str, documents: int, *, neighbours: int = 10) -> float:
    """Of the nearest neighbours that the teacher finds, the share that the table finds too."""
    from sluice.models.embedders.load import EmbedderConfig, load

    texts = list(dict.fromkeys(sample(documents)))
    nearest = []
    for model in (table, teacher):
        vectors = load(EmbedderConfig(model)).embed(texts)
        similar = vectors @ vectors.T
        np.fill_diagonal(similar, -np.inf)
        nearest.append(np.argpartition(-similar, neighbours, axis=1)[:, :neighbours])
    return float(np.mean([len(np.intersect1d(a, b)) / neighbours for a, b in zip(*nearest)]))


def curate(table: str, corpus: str, run: str) -> list[list[Any]]:
    """D4 over a corpus: [what, seconds, core-seconds] of everything in turn; for measure.run."""
    times: list[list[Any]] = []
    clock, cores = time.perf_counter(), time.process_time()

    def note(name: str) -> None:
        nonlocal clock, cores
        before, clock, cores = (clock, cores), time.perf_counter(), time.process_time()
        times.append([name, clock - before[0], cores - before[1]])

    from sluice.pipelines.recipe.options import build_recipe
    from sluice.pipelines.report.report import make_report
    from sluice.pipelines.run.prepare import prepare
    from sluice.pipelines.run.runner import run_stage

    note("imports")
    made, _ = prepare(build_recipe(inputs=(corpus,), recipe="d4", model=table, keep="0.5"), run)
    note("preparation")
    timings = []
    for stage in made.stages():
        timings.append(run_stage(stage, made))
        note(stage.name)
    make_report(made, timings)
    note("report")
    return times


def print_curation(table: str, documents: int) -> None:
    paragraphs = paragraphs_of(real_texts())
    print(
        f"{documents:,} texts of {min(documents, len(paragraphs)):,} distinct paragraphs, {len(paragraphs):,} at hand"
    )
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder) / "corpus"
        corpus.mkdir()
        characters = 0
        with (corpus / "texts.jsonl").open("w", encoding="utf-8") as file:
            for number, text in enumerate(short_texts(documents, paragraphs)):
                characters += len(text)
                file.write(json.dumps({"id": number, "text": text}, ensure_ascii=False) + "\n")
        times, peak = measure.run(
            "embed.static", "curate", table=table, corpus=str(corpus), run=str(Path(folder) / "run")
        )
    seconds, cores = (sum(row[column] for row in times) for column in (1, 2))
    length = characters / documents
    print(f"curated {documents:,} texts of {length:.0f} characters: {seconds:.1f} s, {cores:.1f} core-s, {peak:.0f} MB")
    rows = [[name, f"{a:.1f}", f"{b:.1f}", f"{1e6 * b / documents:.1f}"] for name, a, b in times]
    print(measure.table(["stage", "s", "core-s", "core-us a text"], rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", default=None, help="a token table; by default one is distilled")
    parser.add_argument("--teacher", default=None, help="the embedder that it is compared with (all-MiniLM-L6-v2)")
    parser.add_argument("--documents", type=int, default=20_000, help="texts that speed is measured with")
    parser.add_argument(
        "--sample", type=int, default=2000, help="documents that neighbours are looked for among; 0: none"
    )
    parser.add_argument("--rounds", type=int, default=3, help="how often speed is measured; the best counts")
    parser.add_argument("--peer-python", default=None, help="an interpreter with model2vec, to be timed too")
    parser.add_argument("--curate", type=int, default=0, metavar="N", help="curate so many short texts instead")
    parser.add_argument("--as-peer", default=None, help=argparse.SUPPRESS)
    flags = parser.parse_args()
    if flags.as_peer:
        serve_as_peer(flags.table, flags.as_peer)
        return

    from sluice.models.checkpoints.default import default_model_dir
    from sluice.pipelines.commands.distill import distil

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
        print_speed(table, flags.documents, rounds=flags.rounds, peer_python=flags.peer_python)
        if flags.sample:
            print(f"overlap@10 {overlap(table, teacher, flags.sample):.3f}")


if __name__ == "__main__":
    main()
