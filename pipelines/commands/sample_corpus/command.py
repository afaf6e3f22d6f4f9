"""A corpus to try things on: the docstrings of the installed Python packages and of the standard library.

    sluice sample-corpus sample --documents 3000

Source files are only parsed, never imported or run. The same installation gives the same bytes. Each line is a
JSON object: id, text, source (top package), path (below its search root), kind (module, class, function).
"""

import argparse
import json
import shutil
import uuid
from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from sluice.pipelines.commands.sample_corpus.docstrings import MINIMUM_CHARACTERS, sample, search_roots
from sluice.pipelines.terminal.printing import write
from sluice.transforms.storage import filesystems


def write_sample_corpus(
    folder: str, *, shards: int = 8, limit: int | None = None, roots: Sequence[str] | None = None
) -> dict:
    """Write sample-00000.jsonl ... into the new local `folder`, which appears whole; returns the counts.

    `limit` keeps that many documents: every source is read file by file, in the order of the paths' blake2b,
    up to a share that grows with the square root of its files, so that large packages lead without drowning
    the others; what a source cannot fill goes to the rest. Only as many files are parsed as that takes.
    `roots` are searched in order, as imports are: of a path that two of them hold, the first counts.

    Returns {documents, characters, files, skipped, sources: {name: {documents, characters}}}: `files` were
    looked at, `skipped` of them were unreadable, too large, or do not parse.
    Raises ValueError for an impossible argument or when nothing was found, FileExistsError when `folder` is
    there and not empty.
    """
    if shards < 1 or (limit is not None and limit < 1):
        raise ValueError(f"shards and documents must be at least 1, got {shards} and {limit}")
    if not filesystems.is_local(folder):
        raise ValueError(f"the sample corpus is written to a local folder, got {folder}")
    target = Path(filesystems.filesystem(folder)[1])
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise FileExistsError(f"{folder} exists; name a new folder or remove it")
    target.parent.mkdir(parents=True, exist_ok=True)
    work = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
    work.mkdir()
    tally: Counter = Counter()
    sources: dict[str, Counter] = defaultdict(Counter)
    try:
        with ExitStack() as stack:
            files = [stack.enter_context(open(work / f"sample-{n:05d}.jsonl", "wb")) for n in range(shards)]
            documents = sample(search_roots() if roots is None else roots, limit=limit, tally=tally)
            for index, document in enumerate(documents):
                # A docstring may spell a lone surrogate, which UTF-8 cannot hold.
                line = json.dumps(document, ensure_ascii=False).encode("utf-8", "replace")
                files[index % shards].write(line + b"\n")
                sources[document["source"]] += Counter(documents=1, characters=len(document["text"]))
        if not sources:
            raise ValueError(f"no docstring of {MINIMUM_CHARACTERS} characters found")
        work.rename(target)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    total = sum(sources.values(), Counter())
    return {
        "documents": total["documents"],
        "characters": total["characters"],
        "files": tally["files"],
        "skipped": tally["skipped"],
        "sources": {name: dict(sources[name]) for name in sorted(sources)},
    }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `sluice sample-corpus`."""
    parser.add_argument("folder", metavar="DIR", help="a new local folder for the JSON lines")
    parser.add_argument("--documents", type=int, metavar="N", help="keep N documents, spread over the packages")
    parser.add_argument("--shards", type=int, default=8, metavar="S", help="number of files (default 8)")


def run(args: argparse.Namespace) -> int:
    """Write the corpus and print a summary."""
    summary = write_sample_corpus(args.folder, shards=args.shards, limit=args.documents)
    write(format_summary(summary, folder=args.folder))
    return 0


def format_summary(summary: dict, *, folder: str, largest: int = 15) -> str:
    """A few lines for people: the totals, then the largest sources."""
    ranked = sorted(summary["sources"].items(), key=lambda item: (-item[1]["documents"], item[0]))
    lines = [
        f"{folder}: {summary['documents']:,} documents, {summary['characters']:,} characters"
        f" from {len(ranked)} packages ({summary['files']:,} files read, {summary['skipped']} skipped)"
    ]
    lines += [
        f"  {name:<24} {counts['documents']:>7,} documents {counts['characters']:>12,} characters"
        for name, counts in ranked[:largest]
    ]
    if len(ranked) > largest:
        lines.append(f"  and {len(ranked) - largest} more packages")
    return "\n".join(lines)
