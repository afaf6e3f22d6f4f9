"""Texts as the rows of token ids that a model sees: prompt, special tokens, truncation or windows."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from sluice.models.embedders import windows
from sluice.models.embedders.config import Counters
from sluice.models.tokenizers.chosen import Tokenizer

WHOLE = 2**31 - 1  # more tokens than any text has
_NONE = np.zeros(0, np.int32)


class Rows(NamedTuple):
    """Token ids int32 of each row, the place [m] of the text it belongs to, and its weight [m] in that text's mean."""

    ids: list[np.ndarray]
    texts: np.ndarray
    weights: np.ndarray


class TextRows:
    """Makes rows of at most max_tokens. `bare`: no special tokens, trailing white space cut off; `chunks`: a long text
    has several rows. Ids that the model, of so many in its `vocabulary`, has nothing for are replaced.
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
        self._tokenizer, self._vocabulary, self._max_tokens = tokenizer, vocabulary, max_tokens
        self._prompt, self._bare, self._lower_case, self._chunks = prompt, bare, lower_case, chunks
        self._before, self._after = ([], []) if bare else (tokenizer.before, tokenizer.after)
        self._empty = self._tokens_of_nothing(description)
        alone = prompt.lower() if lower_case else prompt
        self._prompt_ids = tokenizer.tokenize([alone], max_tokens=WHOLE, special=False)[0][0] if prompt else _NONE
        if prompt and self.prompt_tokens + len(tokenizer.after) >= max_tokens:
            raise ValueError(
                f"the prompt takes {self.prompt_tokens} of {max_tokens} tokens: nothing is left for the text"
            )

    @property
    def prompt_tokens(self) -> int:
        """Tokens of the prompt and of what comes before it; 0 without one."""
        return len(self._tokenizer.before) + len(self._prompt_ids) if self._prompt else 0

    def tokenize(self, texts: Sequence[str]) -> list[np.ndarray]:
        """int32 ids of each text, cut at max_tokens."""
        return self._first(self._prepared(texts))[0]

    def rows(self, texts: Sequence[str], counters: Counters, *, tokens: np.ndarray | None = None) -> Rows:
        """The rows of texts, counted. tokens: of each whole text, by the same tokenizer, where they are known."""
        prepared = self._prepared(texts)
        ids, truncated = self._first(prepared)
        long = np.flatnonzero(truncated)
        whole = [prepared[i] for i in long.tolist()]
        owner = [np.arange(len(texts))]
        weights = [np.ones(len(texts))]
        if self._chunks and len(long):
            counters.chunked += len(long)
            for i, row in zip(long, self._tokenizer.tokenize(whole, max_tokens=WHOLE, special=False)[0]):
                first, *others = self._windows(row)
                weights[0][i] = first[1]
                ids += [window for window, _ in others]
                owner.append(np.full(len(others), i))
                weights.append(np.array([size for _, size in others], float))
                counters.windows += 1 + len(others)
        elif len(long):
            counters.truncated += len(long)
            counters.tokens_cut += self._cut(whole, None if tokens is None else tokens[long], ids, long)
        counters.documents += len(texts)
        counters.unknown += self._mostly_unknown(ids[: len(texts)])
        return Rows(ids, np.concatenate(owner), np.concatenate(weights))

    def _mostly_unknown(self, ids: list[np.ndarray]) -> int:
        """How many of the texts are for the greater part what the vocabulary has nothing for."""
        unknown, around = self._tokenizer.unknown, len(self._before) + len(self._after) + len(self._prompt_ids)
        if unknown is None:
            return 0
        return sum(int(2 * (row == unknown).sum() > len(row) - around) for row in ids)

    def _windows(self, row: np.ndarray) -> list[tuple[np.ndarray, int]]:
        """(ids with prompt and special tokens, tokens of the text among them); the first is what truncation leaves."""
        row = self._known(row)
        prompt, text = np.split(row, [self._of_prompt(row)])
        room = self._max_tokens - len(self._before) - len(self._after) - len(prompt)
        parts = (self._before, prompt, self._after)
        return [
            (np.concatenate([parts[0], parts[1], text[start:stop], parts[2]]).astype(np.int32), stop - start)
            for start, stop in windows.split(len(text), room)
        ]

    def _of_prompt(self, row: np.ndarray) -> int:
        """How many tokens of a text with its prompt are the prompt's: its end may be one token with the first word."""
        if not len(self._prompt_ids):
            return 0
        most = min(len(row), len(self._prompt_ids))
        different = np.flatnonzero(row[:most] != self._known(self._prompt_ids)[:most])
        return int(different[0]) if len(different) else most

    def _cut(self, prepared: list[str], tokens: np.ndarray | None, ids: list[np.ndarray], long: np.ndarray) -> int:
        """How many tokens of truncated texts the model does not see."""
        around = len(self._before) + len(self._after)
        if tokens is not None and not (self._bare or self._lower_case):
            of_prompt = [self._of_prompt(ids[i][len(self._before) :]) for i in long]
            whole = tokens.astype(np.int64) + np.array(of_prompt, np.int64)
        else:
            whole = self._tokenizer.count(prepared).astype(np.int64)
        seen = np.array([len(ids[i]) for i in long]) - around
        return int(np.maximum(whole - seen, 0).sum())

    def _prepared(self, texts: Sequence[str]) -> Sequence[str]:
        if self._prompt:
            texts = [self._prompt + text for text in texts]
        if self._bare:
            texts = [text.rstrip() for text in texts]
        if self._lower_case:
            texts = [text.lower() for text in texts]
        return texts

    def _first(self, prepared: Sequence[str]) -> tuple[list[np.ndarray], np.ndarray]:
        rows, truncated = self._tokenizer.tokenize(prepared, max_tokens=self._max_tokens, special=not self._bare)
        return [self._known(row) if len(row) else self._empty for row in rows], truncated

    def _known(self, row: np.ndarray) -> np.ndarray:
        # an added token that the model has no row for, EmbeddingGemma's image token for one
        return (
            row
            if not len(row) or row.max() < self._vocabulary
            else np.where(row < self._vocabulary, row, self._empty[0])
        )

    def _tokens_of_nothing(self, description: Mapping[str, Any]) -> np.ndarray:
        """What stands for a text without tokens: the special tokens alone, or one that ends or pads texts."""
        special = [*self._tokenizer.before, *self._tokenizer.after]
        named = (description.get(f"{name}_token_id") for name in ("eos", "pad", "bos"))
        usable = (i for i in named if isinstance(i, int) and 0 <= i < self._vocabulary)
        return np.array(special or [next(usable, 0)], np.int32)
