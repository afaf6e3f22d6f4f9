"""Real runs over corpora with known vectors, each beside random at the same number of documents and of tokens.

Texts are embedded once, by content, into a folder; a corpus is a Parquet file of texts, vectors and token counts, so
that a run over it does everything that `sluice curate` does but the model's arithmetic.
"""

import functools
import hashlib
import json
import sys
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

# Texts that are embedded before the vectors are kept: what is lost when a run is cut off.
CHUNK = 1024
VECTORS = Path.home() / ".cache" / "sluice-proof"
CONTROLS = ("random, same documents", "random, same tokens")
Steps = list[dict[str, Any]]


class Vectors:
    """The default model's vectors and token counts, kept in a folder by a hash of the text.

    Vectors of other model settings are in another folder of it, so none are mixed.
    """

    def __init__(self, folder: Path):
        self.folder = folder

    @functools.cached_property
    def _embedder(self) -> Any:
        from sluice.models.checkpoints.default import default_model_dir
        from sluice.models.embedders.describe import default_cache
        from sluice.models.embedders.load import EmbedderConfig, load

        return load(EmbedderConfig(default_model_dir(), cache=default_cache()))

    @functools.cached_property
    def _known(self) -> dict[bytes, tuple[np.ndarray, int]]:
        found: dict[bytes, tuple[np.ndarray, int]] = {}
        for path in sorted(self._place.glob("*.npz")):
            with np.load(path) as kept:
                keys = [key.tobytes() for key in kept["keys"]]
                found |= dict(zip(keys, zip(kept["vectors"], kept["tokens"].tolist())))
        return found

    @functools.cached_property
    def _place(self) -> Path:
        recipe = json.dumps(self._embedder.recipe(), sort_keys=True)
        place = self.folder / hashlib.blake2b(recipe.encode(), digest_size=8).hexdigest()
        place.mkdir(parents=True, exist_ok=True)
        return place

    def of(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """(float32 [n, d], tokens of the whole texts int64 [n]); what is not known yet is embedded, in chunks."""
        keys = [_digest(text) for text in texts]
        missing = list({key: text for key, text in zip(keys, texts) if key not in self._known}.items())
        # Texts of one length together: batches are not padded much.
        missing.sort(key=lambda item: (len(item[1]), item[0]))
        for start in range(0, len(missing), CHUNK):
            say(f"embedding {start:,} of {len(missing):,} texts")
            self._embed(missing[start : start + CHUNK])
        pairs = [self._known[key] for key in keys]
        return np.array([vector for vector, _ in pairs], np.float32), np.array([count for _, count in pairs])

    def _embed(self, items: list[tuple[bytes, str]]) -> None:
        texts = [text for _, text in items]
        vectors, tokens = self._embedder.embed(texts), self._embedder.count_tokens(texts)
        keys = np.array([np.frombuffer(key, np.uint8) for key, _ in items])
        name = hashlib.blake2b(keys.tobytes(), digest_size=8).hexdigest()
        unfinished = self._place / f"{name}.unfinished"
        with unfinished.open("wb") as file:
            np.savez(file, keys=keys, vectors=vectors, tokens=tokens)
        unfinished.rename(self._place / f"{name}.npz")
        self._known.update(zip((key for key, _ in items), zip(vectors, tokens.tolist())))


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def chosen(name: str, share: float) -> bool:
    """Whether a name is in a share of all, by its hash; smaller shares are in larger ones."""
    digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") < share * 2**64


def say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


# Runs -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Outcome:
    """What a run kept: ids, and of the documents that went the step that removed each."""

    kept: frozenset[str]
    removed_by: dict[str, str]
    run: Path


@dataclass(frozen=True)
class Compared:
    """An outcome and its controls: random with as many documents, and with as many tokens (the largest prefix)."""

    outcome: Outcome
    documents: Outcome
    tokens: Outcome

    def __iter__(self) -> Iterator[Outcome]:
        return iter((self.outcome, self.documents, self.tokens))


class Corpus:
    """Documents in a Parquet file, and runs over them in a folder that is reused, so shared stages run once."""

    def __init__(self, folder: Path, documents: Sequence[dict[str, Any]], vectors: Vectors | None):
        """documents: id and text, perhaps source; vectors None: no step may need any, and tokens are words."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        self.folder = folder
        self.texts = {one["id"]: one["text"] for one in documents}
        texts = list(self.texts.values())
        columns: dict[str, Any] = {"id": list(self.texts), "text": texts}
        if vectors is None:
            tokens = np.array([len(text.split()) for text in texts])
        else:
            found, tokens = vectors.of(texts)
            columns["embedding"] = pa.FixedSizeListArray.from_arrays(pa.array(found.ravel()), found.shape[1])
        self.tokens = dict(zip(self.texts, tokens.tolist()))
        self.embedded = vectors is not None
        self._controls: dict[tuple[str, int], Outcome] = {}
        folder.mkdir(parents=True, exist_ok=True)
        self.file = folder / "corpus.parquet"
        pq.write_table(pa.table(columns | {"tokens": tokens}), self.file)

    def __len__(self) -> int:
        return len(self.texts)

    def run(self, steps: Steps, name: str = "run") -> Outcome:
        """One real curation; what its directory has already is not done again."""
        import pyarrow.parquet as pq

        from sluice.pipelines.curate import run_recipe
        from sluice.pipelines.recipe.recipe import Recipe

        inputs = {"paths": [str(self.file)], "id": "id", "tokens": "column:tokens"}
        inputs |= {"vector": "embedding"} if self.embedded else {}
        run = self.folder / name
        run_recipe(Recipe.model_validate({"input": inputs, "steps": steps}), str(run))
        manifest = json.loads((run / "decisions/manifest.json").read_text())
        tables = [pq.read_table(run / "decisions" / part["name"], columns=["id", "fate"]) for part in manifest["parts"]]
        fates = {name: fate for table in tables for name, fate in zip(*(table[c].to_pylist() for c in ("id", "fate")))}
        kept = frozenset(name for name, fate in fates.items() if fate == "kept")
        return Outcome(kept, {name: fate for name, fate in fates.items() if fate != "kept"}, run)

    def compare(self, steps: Steps, label: str) -> Compared:
        """A run and both of its controls."""
        say(f"{self.folder.name}: {label}")
        outcome = self.run(steps)
        return Compared(
            outcome,
            self._control("documents", len(outcome.kept), random_step(len(outcome.kept), len(self))),
            self._control("tokens", self.total(outcome.kept), budget_step(self.total(outcome.kept))),
        )

    def _control(self, kind: str, size: int, step: dict[str, Any]) -> Outcome:
        if (kind, size) not in self._controls:
            self._controls[kind, size] = self.run([step], "random")
        return self._controls[kind, size]

    def total(self, ids: Collection[str]) -> int:
        """Tokens of these documents."""
        return sum(self.tokens[name] for name in ids)


def random_step(kept: int, total: int) -> dict[str, Any]:
    """A random step that keeps exactly so many: a ratio half a document below, because cuts round up."""
    return {"step": "random", "cut": {"ratio": f"{(kept - 0.5) / total:.12f}"}}


def budget_step(tokens: int) -> dict[str, Any]:
    """A random step that keeps at most so many tokens."""
    return {"step": "random", "cut": {"tokens": max(tokens, 1)}}
