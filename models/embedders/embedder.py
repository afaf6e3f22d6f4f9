"""What every embedder offers, whatever it computes vectors with: texts in, unit vectors and counts out."""

import abc
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np

from sluice.models.embedders.config import Counters, EmbedderConfig


class Vectors(NamedTuple):
    """float32 vectors [n, d] of unit length, zero where `valid` [n] says that the model computed none."""

    vectors: np.ndarray
    valid: np.ndarray


class Embedder(abc.ABC):
    """Made by `load`, in the worker that uses it: its configuration is small and picklable, itself is not.

    `dimension` of the vectors; `dtype` of the arithmetic: float32 or bfloat16, `auto` where it was left open and there
    are no weights; `counters`: totals since load.
    """

    dimension: int
    dtype: str
    # What embed() says that a text is given in place of a vector.
    WITHOUT_VECTOR: ClassVar[str]

    def __init__(self, config: EmbedderConfig) -> None:
        self.config = config
        self.counters = Counters()

    @property
    @abc.abstractmethod
    def window(self) -> int:
        """How many texts are best given at once."""

    @abc.abstractmethod
    def recipe(self) -> dict[str, Any]:
        """JSON-able: equal recipes give equal vectors (within rounding, and `auto` on the same kind of machine)."""

    @abc.abstractmethod
    def count_tokens(self, texts: Sequence[str]) -> np.ndarray:
        """int32 [n]: tokens of each WHOLE text, unknown ones too: no special tokens, no truncation."""

    @abc.abstractmethod
    def tokenize(self, texts: Sequence[str]) -> list[np.ndarray]:
        """int32 ids of each text as the model sees them, cut at max_tokens."""

    @abc.abstractmethod
    def prepare(self, texts: Sequence[str], *, tokens: np.ndarray | None = None) -> Any:
        """The texts as `compute` takes them: another thread may prepare texts while this one computes others.

        tokens: of each whole text as count_tokens has them, where they are known; otherwise those of truncated texts
        are counted.
        """

    @abc.abstractmethod
    def compute(
        self, prepared: Any, *, done: Callable[[int], None] | None = None, counters: Counters | None = None
    ) -> Vectors:
        """The vectors of texts that were prepared, in their order; a row depends on its text alone, within rounding.

        `done` is called with the number of texts that have just been finished, all texts in all. They are counted in
        `counters`, or else in the embedder's own, which several threads must not do at once.
        """

    @abc.abstractmethod
    def layer_angles(self, texts: Sequence[str]) -> np.ndarray:
        """float64 [n + 1, n + 1]: mean angle (over pi) between the inputs of the n layers and the last one's output.

        See models.embedders.program.angles_between. Raises ValueError for no texts, and a model without layers.
        """

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """float32 [n, dimension], rows of unit length in the order of the texts.

        A row depends on its text alone, up to 1e-5 of rounding. Raises ValueError, naming the first, for texts that the
        model computes no finite vector for.
        """
        vectors, valid = self.try_embed(texts)
        if not valid.all():
            bad = np.flatnonzero(~valid)
            first = texts[int(bad[0])][:80]
            count = f"{len(bad)} of {len(texts)} texts"
            raise ValueError(f"{self.config.model} gives {count} {self.WITHOUT_VECTOR}, the first: {first!r}")
        return vectors

    def try_embed(self, texts: Sequence[str], *, tokens: np.ndarray | None = None) -> Vectors:
        """As embed, but texts without a vector are marked instead of raising. tokens: as `prepare` takes them."""
        return self.compute(self.prepare(texts, tokens=tokens))
