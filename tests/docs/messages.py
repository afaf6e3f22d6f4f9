"""The messages that the code can print, as patterns: its string literals and f-strings, read from the source."""

import ast
import re
from collections.abc import Iterator
from functools import cache

from tests.docs.pages import ROOT

LAYERS = ("models", "transforms", "pipelines")
# Shorter literals are names and separators; they would match anything.
SHORTEST = 12
FORMAT = re.compile(r"%[sdr]|%[-+0-9.]*[dfs]|\{[^{}]*\}")


@cache
def patterns() -> tuple[re.Pattern[str], ...]:
    found = set()
    for layer in LAYERS:
        for path in sorted((ROOT / layer).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                pieces = list(_pieces(node))
                if sum(len(piece) for piece in pieces if piece is not None) >= SHORTEST:
                    found.add("".join(".*" if piece is None else re.escape(piece) for piece in pieces))
    return tuple(re.compile(pattern) for pattern in sorted(found))


def _pieces(node: ast.AST) -> Iterator[str | None]:
    """The fixed pieces of a string that an expression makes, None for what is only known when it runs."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        for number, piece in enumerate(FORMAT.split(node.value)):
            if number:
                yield None
            yield piece
    elif isinstance(node, ast.JoinedStr):
        for value in node.values:
            yield from [value.value] if isinstance(value, ast.Constant) else [None]
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        for side in (node.left, node.right):
            yield from _pieces(side) if isinstance(side, ast.Constant | ast.JoinedStr | ast.BinOp) else [None]


def printed_by(message: str) -> bool:
    """Whether some string of the code can be this whole message, beside the names that stand before every error."""
    message = re.sub(r"^sluice: (changed since)", r"\1", message)
    bare = re.sub(r"^(sluice: )?(stage [\w/-]+: )?", "", message)
    return any(
        pattern.fullmatch(text) and _fixed(pattern) >= SHORTEST
        for pattern in patterns()
        for text in {message, bare, message.removeprefix("sluice: ")}
    )


def _fixed(pattern: re.Pattern[str]) -> int:
    return len(pattern.pattern.replace(".*", "").replace("\\", ""))
