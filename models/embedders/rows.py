"""Texts as the rows of token ids that a model sees: prompt, special tokens, truncation or windows."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from sluice.models.embedders.config import Counters
from sluice.models.tokenizers.chosen import Tokenizer

WHOLE = 2**31 - 1  # more tokens than any text has
OVERLAP = 8  # a window repeats 1/8 of the one before it: a sentence that one window cuts is whole in the other
_NONE = np.zeros(0, np.int32)


class Rows(NamedTuple):
    """Token ids int32 of each row, the place [m] of its text among the texts, and its weight [m] in the text's mean.

    Row i of the first n is the first, mostly the only, row of text i of n.
    """

    ids: list[np.ndarray]
    texts: np.ndarray
    weights: np.ndarray


class TextRows:
    """Makes rows of at most max_tokens.

    `bare`: no special tokens, trailing white space cut off; `chunks`: a long text has several rows, its windows;
    `vocabulary`: the model has rows for the ids below it, others are replaced. Raises ValueError for a prompt that
    leaves no room for text.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        description: Mapping[str, Any],
        *,
        vocabulary: int,
        max_tokens: int,
        prompt: str = "",
        bare: bool = False,
        lower_case: bool = False,
        chunks: bool = False,
    ) -> None:
        self.tokenizer, self.max_tokens, self.prompt = tokenizer, max_tokens, prompt
        self._vocabulary, self._bare, self._lower_case, self._chunks = vocabulary, bare, lower_case, chunks
        self._before, self._after = ([], []) if bare else (tokenizer.before, tokenizer.after)
        self._empty = self._tokens_of_nothing(description)
        self._prompt_ids = _NONE
        if prompt:
            alone = prompt.lower() if lower_case else prompt
            self._prompt_ids = tokenizer.tokenize([alone], max_tokens=WHOLE, special=False)[0][0]
        if prompt and self.prompt_tokens + len(tokenizer.after) >= max_tokens:
            raise ValueError(
                f"the prompt takes {self.prompt_tokens} of {max_tokens} tokens: nothing is left for the text"
            )

    @property
    def prompt_tokens(self) -> int:
        """Tokens of the prompt and of what comes before it; 0 without one."""
        return len(self.tokenizer.before) + len(self._prompt_ids) if self.prompt else 0

    def tokenize(self, texts: Sequence[str]) -> list[np.ndarray]:
        """int32 ids of each text, cut at max_tokens."""
        return self._first(self._prepared(texts))[0]

    def rows(self, texts: Sequence[str], counters: Counters, *, tokens: np.ndarray | None = None) -> Rows:
        """The rows of texts, counted. tokens: of each whole text, by the same tokenizer, where they are known."""
        prepared = self._prepared(texts)
        ids, truncated = self._first(prepared)
        long = np.flatnonzero(truncated)
        whole = [prepared[i] for i in long.tolist()]
        counters.documents += len(texts)
        counters.unknown += self._mostly_unknown(ids)
        if self._chunks and len(long):
            return self._in_windows(ids, whole, long, counters)
        if len(long):
            counters.truncated += len(long)
            counters.tokens_cut += self._tokens_cut(whole, None if tokens is None else tokens[long], ids, long)
        return Rows(ids, np.arange(len(texts)), np.ones(len(texts)))

    def _in_windows(self, ids: list[np.ndarray], whole: list[str], long: np.ndarray, counters: Counters) -> Rows:
        """The rows with the further windows of long texts after them; whole: these texts, long: their places."""
        text_of = [np.arange(len(ids))]
        weights = [np.ones(len(ids))]
        further: list[np.ndarray] = []
        for i, row in zip(long, self.tokenizer.tokenize(whole, max_tokens=WHOLE, special=False)[0]):
            first, *others = self._windows(row)
            weights[0][i] = first[1]
            further += [window for window, _ in others]
            text_of.append(np.full(len(others), i))
            weights.append(np.array([size for _, size in others], float))
            counters.windows += 1 + len(others)
        counters.chunked += len(long)
        return Rows(ids + further, np.concatenate(text_of), np.concatenate(weights))

    def _mostly_unknown(self, ids: list[np.ndarray]) -> int:
        """How many texts consist of unknown tokens for the greater part."""
        unknown, around = self.tokenizer.unknown, len(self._before) + len(self._after) + len(self._prompt_ids)
        if unknown is None:
            return 0
        return sum(int(2 * (row == unknown).sum() > len(row) - around) for row in ids)

    def _windows(self, row: np.ndarray) -> list[tuple[np.ndarray, int]]:
        """(ids with prompt and special tokens, tokens of the text among them); the first is what truncation leaves."""
        row = self._known(row)
        prompt, text = np.split(row, [self._of_prompt(row)])
        room = self.max_tokens - len(self._before) - len(self._after) - len(prompt)
        found: list[tuple[np.ndarray, int]] = []
        for start, stop in split_windows(len(text), room):
            window = np.concatenate([self._before, prompt, text[start:stop], self._after])
            found.append((window.astype(np.int32), stop - start))
        return found

    def _of_prompt(self, row: np.ndarray) -> int:
        """How many tokens of a text with its prompt are the prompt's: its end may be one token with the first word."""
        if not len(self._prompt_ids):
            return 0
        most = min(len(row), len(self._prompt_ids))
        different = np.flatnonzero(row[:most] != self._known(self._prompt_ids)[:most])
        return int(different[0]) if len(different) else most

    def _tokens_cut(self, whole: list[str], tokens: np.ndarray | None, ids: list[np.ndarray], long: np.ndarray) -> int:
        """How many tokens of truncated texts the model does not see."""
        around = len(self._before) + len(self._after)
        if tokens is not None and not (self._bare or self._lower_case):
            of_prompt = [self._of_prompt(ids[i][len(self._before) :]) for i in long]
            counts = tokens.astype(np.int64) + np.array(of_prompt, np.int64)
        else:
            counts = self.tokenizer.count(whole).astype(np.int64)
        seen = np.array([len(ids[i]) for i in long]) - around
        return int(np.maximum(counts - seen, 0).sum())

    def _prepared(self, texts: Sequence[str]) -> Sequence[str]:
        if self.prompt:
            texts = [self.prompt + text for text in texts]
        if self._bare:
            texts = [text.rstrip() for text in texts]
        if self._lower_case:
            texts = [text.lower() for text in texts]
        return texts

    def _first(self, prepared: Sequence[str]) -> tuple[list[np.ndarray], np.ndarray]:
        rows, truncated = self.tokenizer.tokenize(prepared, max_tokens=self.max_tokens, special=not self._bare)
        return [self._known(row) if len(row) else self._empty for row in rows], truncated

    def _known(self, row: np.ndarray) -> np.ndarray:
        # A tokenizer may have added tokens that the model has no row for, as EmbeddingGemma's image token.
        if not len(row) or row.max() < self._vocabulary:
            return row
        return np.where(row < self._vocabulary, row, self._empty[0])

    def _tokens_of_nothing(self, description: Mapping[str, Any]) -> np.ndarray:
        """What stands for a text without tokens: the special tokens alone, or one that ends or pads texts."""
        special = [*self.tokenizer.before, *self.tokenizer.after]
        named = (description.get(f"{name}_token_id") for name in ("eos", "pad", "bos"))
        usable = (i for i in named if isinstance(i, int) and 0 <= i < self._vocabulary)
        return np.array(special or [next(usable, 0)], np.int32)


def split_windows(tokens: int, room: int) -> list[tuple[int, int]]:
    """Windows (start, stop) of at most `room` tokens over a text of so many, each beginning room / 8 before the end of
    the one before; together they hold every token. A text that fits, an empty one too, is one window.

    Raises ValueError for a room of no tokens.

    >>> split_windows(20, 8)
    [(0, 8), (7, 15), (14, 20)]
    """
    if room < 1:
        raise ValueError(f"a window must hold at least one token, not {room}")
    stride = room - room // OVERLAP
    more = max(0, -(-(tokens - room) // stride))
    return [(i * stride, min(i * stride + room, tokens)) for i in range(more + 1)]
