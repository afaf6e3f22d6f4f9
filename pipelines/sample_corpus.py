"""A corpus to try things on: the docstrings of the Python packages installed here and of the standard library.

    sluice sample-corpus sample --documents 3000

Source files are only parsed, never imported or run. The same installation gives the same bytes.
Lines are JSON objects: id, text, source (top package), path (below its search root), kind (module, class, function).
"""

import argparse
import ast
import contextlib
import functools
import hashlib
import json
import multiprocessing
import os
import shutil
import sys
import sysconfig
import uuid
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

from sluice.transforms import storage

MINIMUM_CHARACTERS = 200
# A syntax tree takes some fifty times its source; the few larger files are generated tables.
MAXIMUM_FILE_BYTES = 2_000_000
# site-packages may lie below the standard library; it is a search root of its own.
SKIPPED_FOLDERS = {"__pycache__", "site-packages", "dist-packages"}
KINDS = {
    ast.Module: "module",
    ast.ClassDef: "class",
    ast.FunctionDef: "function",
    ast.AsyncFunctionDef: "function",
}


class _Place(NamedTuple):
    """Where one harvested document lies in the spool, in bytes, and what choosing among them needs."""

    digest: bytes
    start: int
    size: int
    characters: int


def search_roots() -> list[str]:
    """The folders that hold the installed packages and the standard library, each once, the installed first."""
    paths = sysconfig.get_paths()
    return list(dict.fromkeys(os.path.realpath(paths[name]) for name in ("purelib", "platlib", "stdlib")))


def write_sample_corpus(
    folder: str, *, shards: int = 8, limit: int | None = None, roots: Sequence[str] | None = None
) -> dict:
    """Write sample-00000.jsonl ... into `folder`, which appears whole; returns the counts.

    `limit` keeps that many documents: equal shares for all sources as far as they have them, and in each
    source those with the lowest blake2b of their id. `roots` are searched in order, as imports are:
    a path found in two of them counts once.

    Returns {documents, characters, files, skipped, sources: {name: {documents, characters}}}; `skipped`
    files were unreadable, too large, or do not parse.
    Raises ValueError for an impossible argument or when nothing was found, FileExistsError when `folder` is
    there and not empty.
    """
    if shards < 1 or (limit is not None and limit < 1):
        raise ValueError(f"shards and documents must be at least 1, got {shards} and {limit}")
    if not storage.is_local(folder):
        raise ValueError(f"the sample corpus is written to a local folder, got {folder}")
    target = Path(storage.filesystem(folder)[1])
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise FileExistsError(f"{folder} exists; name a new folder or remove it")
    target.parent.mkdir(parents=True, exist_ok=True)
    work = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
    work.mkdir()
    try:
        spool = work / "spool"
        places, tally = _spool_documents(spool, roots=search_roots() if roots is None else roots)
        if not places:
            raise ValueError(f"no docstring of {MINIMUM_CHARACTERS} characters found")
        chosen = _choose(places, limit=limit)
        _write_shards(work, spool=spool, places=sorted(sum(chosen.values(), []), key=_start), shards=shards)
        spool.unlink()
        os.rename(work, target)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    sources = {
        name: {"documents": len(kept), "characters": sum(place.characters for place in kept)}
        for name, kept in sorted(chosen.items())
    }
    return {
        "documents": sum(source["documents"] for source in sources.values()),
        "characters": sum(source["characters"] for source in sources.values()),
        "files": tally["files"],
        "skipped": tally["skipped"],
        "sources": sources,
    }


def _start(place: _Place) -> int:
    return place.start


def _spool_documents(spool: Path, *, roots: Sequence[str]) -> tuple[dict[str, list[_Place]], Counter]:
    """Write every document as one line of `spool`; returns their places by source. Text stays on disk."""
    places: dict[str, list[_Place]] = defaultdict(list)
    modules: set[str] = set()
    tally: Counter = Counter()
    files = {relative: root for root in reversed(roots) for relative in _python_files(root)}
    jobs = [(files[relative], relative) for relative in sorted(files)]
    with open(spool, "wb") as file, _mapper(len(jobs)) as mapped:
        for (_, relative), found in zip(jobs, mapped(_read, jobs), strict=True):
            tally["files"] += 1
            if found is None:
                tally["skipped"] += 1
                continue
            module = relative.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
            if module in modules:  # a.py beside a/__init__.py
                module = relative
            modules.add(module)
            source = relative.split("/")[0].removesuffix(".py")
            for name, text, kind in found:
                identity = f"{module}:{name}"
                record = {"id": identity, "text": text, "source": source, "path": relative, "kind": kind}
                # A docstring may spell a lone surrogate, which UTF-8 cannot hold.
                line = json.dumps(record, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
                digest = hashlib.blake2b(identity.encode("utf-8", "replace"), digest_size=16).digest()
                places[source].append(_Place(digest, file.tell(), len(line), len(text)))
                file.write(line)
    return places, tally


@contextlib.contextmanager
def _mapper(jobs: int) -> Iterator[Callable[..., Iterator]]:
    """An ordered `map`: over processes where the work is worth starting them, for parsing holds the GIL."""
    if jobs < 1000:
        yield map
        return
    # Fresh processes: forking a program whose libraries have started threads can hang.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(os.cpu_count() or 1, 8), mp_context=context) as pool:
        yield functools.partial(pool.map, chunksize=64)


def _python_files(root: str) -> Iterator[str]:
    """Paths of the Python files below `root`, with forward slashes; linked folders are not followed."""
    for folder, names, files in os.walk(root):
        names[:] = [name for name in names if name not in SKIPPED_FOLDERS and not name.startswith(".")]
        for name in files:
            if name.endswith(".py"):
                yield Path(folder, name).relative_to(root).as_posix()


def _read(job: tuple[str, str]) -> list[tuple[str, str, str]] | None:
    """What `_docstrings` finds in the file (root, relative path), or None when it cannot be parsed."""
    path = os.path.join(*job)
    try:
        if not os.path.isfile(path) or os.path.getsize(path) > MAXIMUM_FILE_BYTES:
            return None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return list(_docstrings(ast.parse(Path(path).read_bytes())))
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _docstrings(tree: ast.Module) -> Iterator[tuple[str, str, str]]:
    """(qualified name, text, kind) of each long enough docstring, in source order; names are unique."""
    seen: set[str] = set()
    # A list, not recursion: a chain of `elif` nests as deep as it is long.
    waiting: list[tuple[ast.AST, str]] = [(tree, "")]
    while waiting:
        node, prefix = waiting.pop()
        inside = prefix
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            name = "__doc__" if isinstance(node, ast.Module) else prefix + node.name
            if isinstance(node, ast.ClassDef):
                inside = f"{name}."
            elif not isinstance(node, ast.Module):
                inside = f"{name}.<locals>."
            text = (ast.get_docstring(node) or "").strip()
            if len(text) >= MINIMUM_CHARACTERS:
                if name in seen:
                    name = f"{name}:{getattr(node, 'lineno', 0)}"
                seen.add(name)
                yield name, text, KINDS[type(node)]
        # Only statements hold definitions; expressions need no visit.
        children = [
            child
            for child in ast.iter_child_nodes(node)
            if isinstance(child, ast.stmt | ast.excepthandler | ast.match_case)
        ]
        waiting.extend((child, inside) for child in reversed(children))


def _choose(places: dict[str, list[_Place]], *, limit: int | None) -> dict[str, list[_Place]]:
    """`limit` documents in equal shares; what a small source cannot fill goes to the larger ones."""
    if limit is None:
        return places
    chosen = {}
    remaining = limit
    smallest_first = sorted(places, key=lambda name: (len(places[name]), name))
    for index, name in enumerate(smallest_first):
        share = min(len(places[name]), remaining // (len(smallest_first) - index))
        if share:
            chosen[name] = sorted(places[name])[:share]
        remaining -= share
    return chosen


def _write_shards(folder: Path, *, spool: Path, places: list[_Place], shards: int) -> None:
    """Deal the chosen lines out one by one, so that every shard holds every large source."""
    files = [open(folder / f"sample-{shard:05d}.jsonl", "wb") for shard in range(shards)]
    try:
        with open(spool, "rb") as lines:
            for index, place in enumerate(places):
                lines.seek(place.start)
                files[index % shards].write(lines.read(place.size))
    finally:
        for file in files:
            file.close()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `sluice sample-corpus`."""
    parser.add_argument("folder", metavar="DIR", help="a new local folder for the JSON lines")
    parser.add_argument(
        "--documents", type=int, metavar="N", help="keep N documents, spread over the packages"
    )
    parser.add_argument("--shards", type=int, default=8, metavar="S", help="number of files (default 8)")


def run(args: argparse.Namespace) -> int:
    """Write the corpus and print a summary; returns the exit status, 2 for arguments that cannot be met."""
    try:
        summary = write_sample_corpus(args.folder, shards=args.shards, limit=args.documents)
    except (ValueError, FileExistsError) as error:
        print(f"sample-corpus: {error}", file=sys.stderr)
        return 2
    print(format_summary(summary, folder=args.folder))
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


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="sluice sample-corpus", description=__doc__.split("\n\n")[0])
    add_arguments(parser)
    return run(parser.parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
