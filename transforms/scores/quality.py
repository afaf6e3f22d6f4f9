"""Text quality: a bounded sample of the documents still in -> weights/, and the texts -> scores/."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa

from sluice.models.arrays.hashing import seeded
from sluice.models.methods import quality
from sluice.transforms.documents.texts import Texts
from sluice.transforms.records.records import Unit
from sluice.transforms.scores.base import Guard, write_scores
from sluice.transforms.stages import memory, progress
from sluice.transforms.stages.artifacts import Artifact, Part
from sluice.transforms.stages.columns import fixed_bytes, numbers, survivors
from sluice.transforms.stages.stage import Learn, StageTransform
from sluice.transforms.stages.writing import WriteUnit

# Bytes that learning allocates for each byte of the sample.
LEARNING = 60
SAMPLE = pa.schema([("ticket", pa.uint64()), ("text", pa.string())])


@dataclass(frozen=True)
class Validation:
    """Which documents weights are learnt from: about `documents` of `population`, and so many bytes of each."""

    documents: int
    bytes: int
    population: int
    seed: int

    def chosen(self, ticket: np.ndarray) -> np.ndarray:
        """bool [n] from tickets uint64 [n]: a document is in by a hash of its id."""
        share = self.documents / max(self.population, 1)
        return np.ones(len(ticket), bool) if share >= 1 else ticket < np.uint64(int(share * 2**64))


def first_bytes(text: str, limit: int) -> str:
    """The beginning of a text that fits into so many bytes of UTF-8; halves of surrogate pairs become ?."""
    return text[:limit].encode("utf-8", "replace")[:limit].decode("utf-8", "ignore")


class WriteSample(WriteUnit):
    """Unit -> its part of weights/: the beginnings of the texts that the sample takes from it."""

    def __init__(self, target: Artifact, texts: Texts, validation: Validation):
        super().__init__(target)
        self.texts, self.validation = texts, validation

    def write(self, unit: Unit) -> None:
        ids = fixed_bytes(self.texts.documents.read(unit.id, ["id_hash"])["id_hash"], "V16")
        ticket = seeded(ids, self.validation.seed, "quality")
        stats = {"sampled": 0}
        self.target.write(unit.id, self._tables(unit, ticket, stats), SAMPLE, stats)

    def _tables(self, unit: Unit, ticket: np.ndarray, stats: dict[str, int]) -> Iterator[pa.Table]:
        start = 0
        for here, texts in self.texts.windows(unit, self.validation.chosen(ticket)):
            heads = [first_bytes(text, self.validation.bytes) for text in texts]
            stats["sampled"] += len(heads)
            found = ticket[start : start + len(here)][here]
            yield pa.table([pa.array(found), pa.array(heads, pa.string())], schema=SAMPLE)
            start += len(here)


class LearnWeights(beam.DoFn):
    """All parts of the sample -> the weights, for the manifest."""

    def __init__(self, target: Artifact, parse: quality.Parse | None):
        self.target, self.parse = target, parse

    def process(self, group: tuple[int, Iterable[Part]]) -> Iterator[dict[str, Any]]:
        # heavy: JAX, which nobody but the worker that learns needs
        from sluice.models.methods import ngram

        tables = []
        for part in sorted(group[1], key=lambda part: part.unit):
            tables.append(self.target.read_unfinished(part.unit))
        sample = pa.concat_tables(tables)
        # Tickets are in no relation to files, so neither is the order.
        order = np.argsort(numbers(sample, "ticket"), kind="stable")
        texts = sample["text"].take(pa.array(order)).to_pylist()
        weights = quality.learn_weights(texts, ngram.cross_bits, self.parse)
        yield {"folder": self.target.url, "totals": {"weights": weights}}


@dataclass
class FindWeights(StageTransform):
    """pipeline -> weights/: the sample's parts, and a manifest whose totals hold the weights by rule."""

    version = 3

    texts: Texts
    validation: Validation
    parse: quality.Parse | None = None

    @property
    def worker_memory(self) -> int:
        """Bytes that the worker that learns needs, as transforms.stages.memory counts them."""
        return memory.PROCESS + memory.MODEL_RUNTIME + LEARNING * self.validation.documents * self.validation.bytes

    @property
    def config(self) -> dict[str, Any]:
        return {"documents": self.validation.documents, "bytes": self.validation.bytes}

    def parts(self, units: beam.PCollection[Unit]) -> beam.PCollection:
        sample = units | "Sample" >> beam.ParDo(WriteSample(self.target, self.texts, self.validation))
        return sample | Learn(LearnWeights(self.target, self.parse))


# The rules that cost a document most, the costliest first, and what they did (parts of models.methods.quality.SCALE).
COSTS = pa.list_(pa.struct([("rule", pa.string()), ("cost", pa.int64())]))


class WriteTextScores(WriteUnit):
    """Unit -> its part of scores/, by a judgement of a document's text; its rules are the column `rules`."""

    version = 3

    def __init__(self, target: Artifact, texts: Texts, guard: Guard, judge: Callable[[str], quality.Judgement]):
        super().__init__(target)
        self.texts, self.guard, self.judge = texts, guard, judge

    def write(self, unit: Unit) -> None:
        documents = self.texts.documents.read(unit.id, ["row", "tokens", *self.guard.columns()])
        alive = survivors(self.texts.keep, unit.id, len(documents))
        score = np.zeros(len(documents), np.int64)
        rules, costs = (np.full((len(documents), quality.COSTLIEST), -1, np.int64) for _ in range(2))
        start = 0
        for here, texts in self.texts.windows(unit):
            for place, text in zip((start + np.flatnonzero(here)).tolist(), texts):
                judged = self.judge(text)
                score[place] = judged.score
                for rank, (rule, cost) in enumerate(judged.costs):
                    rules[place, rank], costs[place, rank] = rule, cost
            start += len(here)
            progress.add(self.stage, len(here))
        extra = {"rules": _packed(rules, costs, alive)}
        write_scores(self.target, unit.id, documents=documents, alive=alive, score=score, guard=self.guard, extra=extra)


def _packed(rules: np.ndarray, costs: np.ndarray, alive: np.ndarray) -> pa.Array:
    """int64 [n, m], rules as places and -1 after a document's last -> COSTS [n]; null for documents no longer in."""
    there = rules >= 0
    names = pa.array(quality.ALL_RULES, pa.string()).take(pa.array(rules[there]))
    values = pa.StructArray.from_arrays([names, pa.array(costs[there])], fields=list(COSTS.value_type))
    offsets = pa.array(np.r_[0, np.cumsum(there.sum(axis=1))], pa.int32())
    return pa.ListArray.from_arrays(offsets, values, COSTS, mask=pa.array(~alive))


@dataclass
class LowQualityFirst:
    """Minus the quality of a text: whole numbers from -quality.SCALE to 0."""

    weights: tuple[int, ...]
    parse: quality.Parse | None = None

    def __call__(self, text: str) -> quality.Judgement:
        judged = quality.judge(text, self.weights, self.parse)
        return judged._replace(score=-judged.score)
