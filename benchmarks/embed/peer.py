"""sentence-transformers in an interpreter of its own, over the same texts as Sluice."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.embed.flops import Spent, spend
from benchmarks.measure import ROOT

MAX_TOKENS = 256
PEER_DEVICES = {"cpu": "cpu", "gpu": "cuda"}


class Peer:
    """sentence-transformers in another interpreter: `embed()` embeds all documents once more.

    `padding`: the share of the positions it computes that hold no token.
    """

    def __init__(self, python: str, model: str, texts: list[str], dtype: str, *, device: str, batch: int) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._vectors, self._errors = (Path(self._folder.name, name) for name in ("vectors.npy", "errors"))
        Path(self._folder.name, "texts.json").write_text(json.dumps(texts), encoding="utf-8")
        environment = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}
        command = [python, "-m", "benchmarks.embed", "--as-peer", self._folder.name, "--model", model, "--dtype", dtype]
        with self._errors.open("wb") as errors:
            self._process = subprocess.Popen(
                [*command, "--device", device, "--peer-batch", str(batch)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=environment,
            )
        tokens, places = self._read("ready")
        self.padding = 1 - tokens / places

    def _read(self, word: str) -> list[float]:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith(word):
                return [float(value) for value in line.split()[1:]]
        said = self._errors.read_text(errors="replace")[-2000:]
        raise RuntimeError(f"the peer ended with {self._process.wait()}: does its environment import?\n{said}")

    def embed(self) -> Spent:
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        return Spent(*self._read("spent"))

    def vectors(self) -> np.ndarray:
        return np.load(self._vectors)


def serve_as_peer(folder: str, model: str, dtype: str, *, device: str, batch: int) -> None:
    """What the other interpreter runs: load, embed everything to count positions, then again for each line read."""
    import torch
    from sentence_transformers import SentenceTransformer

    texts = json.loads(Path(folder, "texts.json").read_text(encoding="utf-8"))
    encoder = SentenceTransformer(model, device=device, model_kwargs={"dtype": getattr(torch, dtype)})
    encoder.max_seq_length = min(MAX_TOKENS, encoder.max_seq_length or MAX_TOKENS)
    counted: list[tuple[float, int]] = []

    def count(_module: Any, arguments: Any) -> None:
        places = arguments[0]["input_ids"].numel()
        mask = arguments[0].get("attention_mask")  # absent where nothing is padded
        counted.append((places if mask is None else float(mask.sum()), places))

    def embed() -> None:
        found = encoder.encode(texts, batch_size=batch, normalize_embeddings=True, convert_to_tensor=True)
        np.save(Path(folder, "vectors.npy"), found.float().cpu().numpy())

    hook = encoder[0].register_forward_pre_hook(count)
    embed()
    hook.remove()
    print("ready", *map(sum, zip(*counted)), flush=True)
    for _ in sys.stdin:
        spent = spend(embed)
        print("spent", *spent, flush=True)
