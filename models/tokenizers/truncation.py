"""The first tokens of long texts without tokenizing all of them, for any tokenizer that works word by word."""

import re
from collections.abc import Callable, Sequence

import numpy as np

CHARACTERS_PER_TOKEN = 8  # of the first attempt; a text of longer tokens is read again, four times as far
Encode = Callable[[list[str]], list[np.ndarray]]

_BLANK_BETWEEN_WORDS = re.compile(r"(?<=[A-Za-z0-9]) (?=[A-Za-z0-9])")
_SURROGATES = re.compile("[\ud800-\udfff]")


def first_tokens(
    texts: Sequence[str], room: int, *, encode: Encode, prefix: Callable[[str, int], str]
) -> tuple[list[np.ndarray], np.ndarray]:
    """The first `room` token ids of each text, int32; bool [n]: whether there were more.

    `prefix(text, window)`: of a text longer than `window`, some first part of it whose tokens are the first of the
    text's. A part that gives fewer than `room` tokens is read again in a larger window.
    """
    found: list[np.ndarray] = [np.zeros(0, np.int32)] * len(texts)
    truncated = np.zeros(len(texts), bool)
    pending = list(range(len(texts)))
    window = CHARACTERS_PER_TOKEN * room
    while pending:
        pieces = [prefix(texts[i], window) for i in pending]
        short = []
        for i, ids in zip(pending, encode(pieces)):
            if len(ids) <= room and len(texts[i]) > window:
                short.append(i)
                continue
            truncated[i] = len(ids) > room or len(texts[i]) > window
            found[i] = np.asarray(ids[:room], np.int32)
        pending, window = short, 4 * window
    return found, truncated


def whole_words(text: str, window: int) -> str:
    """The text, or of a longer one the first part, up to a blank between two plain letters or digits: never more than
    `window` characters. Empty where there is no such blank.
    """
    if len(text) <= window:
        return text
    end = text.rfind(" ", 0, window)
    while end > 0 and not _BLANK_BETWEEN_WORDS.match(text, end):
        end = text.rfind(" ", 0, end)
    return text[: max(end, 0)]


def without_surrogates(text: str) -> str:
    """The text with halves of characters, which UTF-8 has no bytes for, replaced as a decoder would."""
    return text if text.isascii() else _SURROGATES.sub("\ufffd", text)
