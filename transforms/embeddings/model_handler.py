"""Any Sluice embedder in Beam's RunInference.

vectors = texts | RunInference(EmbedderModelHandler(EmbedderConfig("/path/to/model")))
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from apache_beam.ml.inference.base import ModelHandler, PredictionResult

from sluice.models.embedders.load import Counters, EmbedderConfig, load
from sluice.transforms.stages import counters

COUNTED = ("tokens", "truncated", "tokens_cut", "unknown", counters.WITHOUT_VECTOR)


class EmbedderModelHandler(ModelHandler[str, PredictionResult, Any]):
    """str -> PredictionResult(text, float32 [dimension] of unit length, the model's name).

    The inference is None for a text that the model computes no finite vector for. Counters of sluice count these, texts
    that were cut and texts that the vocabulary has little for (stages/counters.py). Larger batches waste less padding,
    above all on an accelerator, where a thousand texts are few: what is batched together is sorted by length inside.
    Beam makes batches that take about ten seconds. RunInference passes no arguments to it: any `inference_args`
    are refused.
    """

    def __init__(self, config: EmbedderConfig, *, min_batch_size: int = 32, max_batch_size: int = 8192) -> None:
        super().__init__()
        self._config = config
        self._sizes = {"min_batch_size": min_batch_size, "max_batch_size": max_batch_size}

    def load_model(self) -> Any:
        """The embedder, in the worker. Raises as models.embedders.load.load does."""
        return load(self._config)

    def run_inference(
        self, batch: Sequence[str], model: Any, inference_args: dict[str, Any] | None = None
    ) -> Iterable[PredictionResult]:
        if wrong := next((type(text).__name__ for text in batch if not isinstance(text, str)), None):
            raise TypeError(f"an embedder takes texts, not {wrong}")
        counted = Counters()  # other threads have the same model
        found, valid = model.compute(model.prepare(list(batch)), counters=counted)
        for name in COUNTED:
            counters.add(name, getattr(counted, name))
        for text, vector, there in zip(batch, found, valid):
            yield PredictionResult(text, vector if there else None, self._config.model)

    def update_model_path(self, model_path: str | None = None) -> None:
        """Another model for the batches to come, as RunInference's side input of model updates asks for."""
        if model_path:
            self._config = replace(self._config, model=model_path)

    def validate_inference_args(self, inference_args: dict[str, Any] | None) -> None:
        if inference_args:
            raise ValueError(f"an embedder takes no inference_args, got {sorted(inference_args)}")

    def get_num_bytes(self, batch: Sequence[str]) -> int:
        return sum(len(text.encode("utf-8", "surrogatepass")) for text in batch)

    def get_metrics_namespace(self) -> str:
        return "SluiceEmbedder"

    def batch_elements_kwargs(self) -> dict[str, Any]:
        return self._sizes
