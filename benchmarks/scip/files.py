"""Python files to corrupt: of the installed packages or of a folder, chosen by a hash of their path."""

import ast
import hashlib
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.scip import corruptions
from sluice.pipelines.commands.sample_corpus.docstrings import MAXIMUM_FILE_BYTES, python_files, search_roots

LEAST_CHARACTERS = 300


def take_files(count: int, folder: str | None, *, seed: int) -> Iterator[tuple[str, str]]:
    """(path, text without its head of comments) of `count` files that parse, in the order of their paths' hashes."""
    roots: Sequence[str] = search_roots() if folder is None else [folder]
    if folder is not None and not Path(folder).is_dir():
        raise FileNotFoundError(f"--input {folder} is no folder")
    places = {relative: root for root in reversed(roots) for relative in python_files(root)}
    for relative in sorted(places, key=lambda path: _hash(path, seed)):
        if count == 0:
            return
        text = _read(Path(places[relative], relative))
        if text is not None:
            count -= 1
            yield relative, text


def _hash(path: str, seed: int) -> bytes:
    return hashlib.blake2b(f"{seed}:{path}".encode("utf-8", "replace"), digest_size=16).digest()


def _read(path: Path) -> str | None:
    try:
        if not path.is_file() or path.stat().st_size > MAXIMUM_FILE_BYTES:
            return None
        text = corruptions.without_header(path.read_text("utf-8"))
        if len(text) < LEAST_CHARACTERS or not parse(text):
            return None
        corruptions.read_tokens(text)
    except (OSError, ValueError):
        return None
    return text


def parse(text: str) -> bool:
    """Whether a text is a Python file."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True
