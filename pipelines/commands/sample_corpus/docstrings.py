"""The docstrings of installed packages as documents: source files are parsed, never imported or run."""

import ast
import hashlib
import math
import os
import sysconfig
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

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


def sample(roots: Sequence[str], *, limit: int | None, tally: Counter) -> Iterator[dict]:
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
