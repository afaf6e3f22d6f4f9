"""Texts of a plan's sample, and their tokens."""

import math
import time
from dataclasses import replace
from typing import Any

import numpy as np

from sluice.models.embedders.describe import token_counter
from sluice.models.forecast.ranges import Range, spread
from sluice.pipelines.plan.sample import Sample
from sluice.pipelines.run.run import Run
from sluice.transforms.corpus import reading

# Tokenizers do some of their work the first time.
FIRST_COUNTED = 16
MOST_CHARACTERS = 50_000_000


def choose_texts(run: Run, sample: Sample, most: int) -> list[str]:
    """Texts from all pieces, as many of each as it has places."""
    if run.fields.text is None:
        return []
    places = sum(piece.places for piece in sample.pieces)
    found: list[str] = []
    fields = replace(run.fields, columns=(), vector=None)
    for piece in sample.pieces:
        here: list[str] = []
        for window in reading.read_unit(piece.unit, fields, on_unreadable="reject"):
            here += window.texts or []
            if sum(map(len, here)) > MOST_CHARACTERS:
                break
        count = min(math.ceil(most * piece.places / places), len(here))
        found += [here[i] for i in np.unique(np.linspace(0, len(here) - 1, count).astype(int))]
    return found[:most]


def count_tokens(
    how: tuple[str, str], texts: list[str], stats: list[dict[str, Any]], documents: int
) -> tuple[Range | None, float]:
    if how[0] == "column":
        means = [one["tokens"] / one["documents"] for one in stats if one["documents"]]
        return spread(means, sum(one["tokens"] for one in stats) / documents), 0.0
    if how[0] == "none" or not texts:
        return None, 0.0
    count = token_counter(*how)
    count(texts[:FIRST_COUNTED])
    started = time.process_time()
    counts = count(texts)
    seconds = (time.process_time() - started) / len(texts)
    error = 2 * float(counts.std()) / len(counts) ** 0.5
    return Range.around(float(counts.mean()), min(max(error / max(float(counts.mean()), 1e-9), 0.02), 0.9)), seconds
