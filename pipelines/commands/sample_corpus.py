"""A corpus to try things on: the docstrings of the installed Python packages and of the standard library.

    sluice sample-corpus sample --documents 3000

Source files are only parsed, never imported or run. The same installation gives the same bytes. Each line is a
JSON object: id, text, source (top package), path (below its search root), kind (module, class, function).
"""

import argparse
import ast
import hashlib
import json
import math
import os
import shutil
import sys
import sysconfig
import uuid
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path

from sluice.pipelines.terminal.printing import one_line, write
from sluice.pipelines.terminal.standard_streams import to_stderr
from sluice.transforms.storage import filesystems

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


def search_roots() -> list[str]:
    """The folders of the installed packages and of the standard library, each once, the packages first."""
    paths = sysconfig.get_paths()
    return list(dict.fromkeys(os.path.realpath(paths[name]) for name in ("purelib", "platlib", "stdlib")))


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
            documents = _sample(search_roots() if roots is None else roots, limit=limit, tally=tally)
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


def _sample(roots: Sequence[str], *, limit: int | None, tally: Counter) -> Iterator[dict]:
    """The documents, source by source; with a limit in rounds, while some source has more to give."""
    roots_of = {relative: root for root in reversed(roots) for relative in python_files(root)}
    files: dict[str, list[str]] = defaultdict(list)
    for relative in sorted(roots_of, key=_digest):
        files[relative.split("/")[0].removesuffix(".py")].append(relative)
    weights = {source: math.isqrt(len(files[source])) for source in sorted(files)}
    streams = {source: _source_documents(source, files[source], roots_of, tally=tally) for source in weights}
    if limit is None:
        for stream in streams.values():
            yield from stream
        return
    while streams and limit:
        wanted, whole = limit, sum(weights[source] for source in streams)
        for source in list(streams):
            # Rounded up, so that a round always gets somewhere; the last sources may find nothing left.
            share = min(limit, math.ceil(wanted * weights[source] / whole))
            before = limit
            for document in islice(streams[source], share):
                limit -= 1
                yield document
            if before - limit < share:
                del streams[source]


def _digest(relative: str) -> bytes:
    return hashlib.blake2b(relative.encode("utf-8", "replace"), digest_size=16).digest()


def _source_documents(source: str, files: list[str], roots_of: dict[str, str], *, tally: Counter) -> Iterator[dict]:
    for relative in files:
        tally["files"] += 1
        tree = _parse(Path(roots_of[relative], relative))
        if tree is None:
            tally["skipped"] += 1
            continue
        module = relative.removesuffix(".py")
        # What an import cannot reach (a.py beside a/__init__.py, a dot in a name) goes by its path.
        reachable = "." not in module and f"{module}/__init__.py" not in roots_of
        module = module.removesuffix("/__init__").replace("/", ".") if reachable else f"./{relative}"
        for name, text, kind in _docstrings(tree):
            yield {"id": f"{module}:{name}", "text": text, "source": source, "path": relative, "kind": kind}


def python_files(root: str) -> Iterator[str]:
    """Paths of the Python files below `root`, with forward slashes; linked folders are not followed."""
    for folder, names, files in os.walk(root):
        names[:] = [name for name in names if name not in SKIPPED_FOLDERS and not name.startswith(".")]
        yield from (Path(folder, name).relative_to(root).as_posix() for name in files if name.endswith(".py"))


def _parse(path: Path) -> ast.Module | None:
    """The syntax tree of a file, or None when it cannot be had."""
    try:
        if not path.is_file() or path.stat().st_size > MAXIMUM_FILE_BYTES:
            return None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _docstrings(tree: ast.Module) -> Iterator[tuple[str, str, str]]:
    """(qualified name, text, kind) of each long enough docstring, in source order; names are unique."""
    seen: set[str] = set()
    # A list, not recursion: a chain of `elif` nests as deep as it is long.
    waiting: list[tuple[ast.AST, str]] = [(tree, "")]
    while waiting:
        node, prefix = waiting.pop()
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            name = "__doc__" if isinstance(node, ast.Module) else prefix + node.name
            if not isinstance(node, ast.Module):
                prefix = f"{name}." if isinstance(node, ast.ClassDef) else f"{name}.<locals>."
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
        waiting.extend((child, prefix) for child in reversed(children))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `sluice sample-corpus`."""
    parser.add_argument("folder", metavar="DIR", help="a new local folder for the JSON lines")
    parser.add_argument("--documents", type=int, metavar="N", help="keep N documents, spread over the packages")
    parser.add_argument("--shards", type=int, default=8, metavar="S", help="number of files (default 8)")


def run(args: argparse.Namespace) -> int:
    """Write the corpus and print a summary; returns the exit status, 2 for arguments that cannot be met."""
    try:
        summary = write_sample_corpus(args.folder, shards=args.shards, limit=args.documents)
    except (ValueError, FileExistsError) as error:
        to_stderr(one_line(f"sample-corpus: {error}"))
        return 2
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


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="sluice sample-corpus", description=__doc__.split("\n\n")[0])
    add_arguments(parser)
    return run(parser.parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
