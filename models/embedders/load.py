"""The one door to embedders: a configuration, which travels to the workers, becomes an embedder there.

    embedder = load(EmbedderConfig(model=default_model_dir()))
    vectors = embedder.embed(["a text", "another"])  # float32 [2, 384]

A network's family is the file of models/families that knows config.json's model_type; nothing registers it.
"""

from sluice.models import checkpoints
from sluice.models.checkpoints.files import local_directory
from sluice.models.embedders.config import Counters, EmbedderConfig
from sluice.models.embedders.embedder import Embedder, Vectors
from sluice.models.embedders.network import NetworkEmbedder
from sluice.models.embedders.table import TableEmbedder
from sluice.models.tokenizers import chosen

__all__ = ["Counters", "Embedder", "EmbedderConfig", "Vectors", "load"]


def load(config: EmbedderConfig, *, weights: bool = True) -> Embedder:
    """The embedder of a model, weights read unless only its recipe is wanted. Call it in a worker's setup.

    Raises FileNotFoundError for a file that is not there, ValueError for a model this project cannot run faithfully.
    """
    with checkpoints.reading(config.model):
        directory = local_directory(config.model)
        if chosen.is_table(directory):
            return TableEmbedder(config, directory, weights=weights)
        return NetworkEmbedder(config, weights=weights)
