"""D4 by plain definitions on arrays, to hold the pipeline against."""

from decimal import Decimal
from math import ceil

import numpy as np

from sluice.models.arrays import hashing, vectors
from sluice.models.clustering import kmeans


class Oracle:
    """rows as tests.pipelines.corpora.make_rows gives them; every method returns ids or a mask over the rows."""

    def __init__(self, rows: list[dict], *, seed: int = 0, clusters: int = 6):
        self.rows, self.seed, self.clusters = rows, seed, clusters
        self.hashes = np.frombuffer(b"".join(hashing.id_hash(row["id"]) for row in rows), "V16")
        self.tie = hashing.seeded(self.hashes, seed, "tie")
        self.vectors = vectors.quantise(np.array([row["embedding"] for row in rows], np.float32))
        self.points = vectors.coarse(self.vectors).astype(np.int64)

    def first_of_equal(self, keys: list, alive: np.ndarray) -> np.ndarray:
        """For each row, the index of the first alive row with the same key (itself where it is that one)."""
        first: dict = {}
        for index in sorted(np.flatnonzero(alive), key=lambda index: self.tie[index]):
            first.setdefault(keys[index], index)
        return np.array([first.get(key, index) for index, key in enumerate(keys)])

    def exact(self, alive: np.ndarray) -> np.ndarray:
        keys = [hashing.text_hash(row["text"]) for row in self.rows]
        return alive & (self.first_of_equal(keys, alive) == np.arange(len(keys)))

    def cluster(self, members: np.ndarray, purpose: str) -> np.ndarray:
        ticket = hashing.seeded(self.hashes, self.seed, f"sample:{purpose}")
        chosen = np.flatnonzero(members)
        sample = chosen[np.argsort(ticket[chosen], kind="stable")]
        return kmeans.train(self.points[sample].astype(np.float32), self.clusters).centroids.astype(np.int64)

    def semdedup_scores(self, alive: np.ndarray, *, step: str) -> np.ndarray:
        """Object array of ints; None where the step has nothing against the row."""
        keys = [row.tobytes() for row in self.vectors]
        first = self.first_of_equal(keys, alive)
        representative = alive & (first == np.arange(len(keys)))
        products = self.points @ self.cluster(representative, step).T
        cluster, similarity = products.argmax(axis=1), products.max(axis=1)
        scores = np.full(len(keys), None, object)
        for row in np.flatnonzero(alive):
            if not representative[row]:
                scores[row] = vectors.COARSE**2
                continue
            earlier = [
                other
                for other in np.flatnonzero(representative & (cluster == cluster[row]))
                if (similarity[other], self.tie[other]) < (similarity[row], self.tie[row])
            ]
            if earlier:
                scores[row] = int(max(self.points[row] @ self.points[other] for other in earlier))
        return scores

    def prototype_scores(self, alive: np.ndarray, *, step: str) -> np.ndarray:
        products = self.points @ self.cluster(alive, step).T
        return products.max(axis=1).astype(object)

    def cut(self, alive: np.ndarray, scores: np.ndarray, *, keep: int) -> np.ndarray:
        order = sorted(
            np.flatnonzero(alive),
            key=lambda row: (-np.inf if scores[row] is None else scores[row], self.tie[row]),
        )
        kept = np.zeros(len(alive), bool)
        kept[order[:keep]] = True
        return kept

    def d4(self, ratio: str) -> dict[str, str]:
        size = len(self.rows)
        alive = np.ones(size, bool)
        fate = np.full(size, "kept", object)
        after = self.exact(alive)
        fate[alive & ~after] = "01-exact"
        alive = after
        target = Decimal(ratio)
        keep = min(ceil(max(Decimal("0.75"), target) * size), int(alive.sum()))
        after = self.cut(alive, self.semdedup_scores(alive, step="semdedup"), keep=keep)
        fate[alive & ~after] = "02-semdedup"
        alive = after
        after = self.cut(alive, self.prototype_scores(alive, step="prototypes"), keep=ceil(target * size))
        fate[alive & ~after] = "03-prototypes"
        return {row["id"]: name for row, name in zip(self.rows, fate)}
