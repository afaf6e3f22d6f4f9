"""What decides an embedder's vectors: the description that travels to the workers, checked when it is made."""

from dataclasses import asdict, dataclass

from sluice.models.embedders.chain import MODES
from sluice.models.embedders.layer_subset import parse_layers

POOLINGS = tuple(MODES.values())
DTYPES = ("auto", "float32", "bfloat16")
CONVENTIONS = ("huggingface", "d4")
LONG_DOCUMENTS = ("truncate", "chunk-mean")


@dataclass(frozen=True)
class EmbedderConfig:
    """What decides the vectors, and where compiled programs are kept.

    `model`: a Hugging Face directory, a URL of one, or organisation/name on the hub. `max_tokens`: texts are cut there,
    special tokens counted; never more than the model's positions. `pooling`: one of POOLINGS, or auto (what the
    directory's sentence-transformers files say, else what the family is used with). `dtype` of the arithmetic, auto:
    bfloat16 where there is an accelerator, float32 elsewhere; vectors are float32 either way. `cache`: directory of
    compiled programs that later processes reuse, None for none.

    `prompt` stands before each text; `prompt_name` picks one of config_sentence_transformers.json instead; with neither
    it is that file's default_prompt_name, if any; prompt "" is none. `convention`: which states of OPT are meant, see
    models/families/opt.py; auto is the family's first, or huggingface in a sentence-transformers directory.

    `dimensions`: vectors are cut to their first so many numbers and brought back to unit length, which is for models
    trained to be cut (Matryoshka, arXiv:2205.13147). `layers`: those that are kept, see layer_subset.py beside.
    `long_documents`: truncate, or chunk-mean: the mean of the vectors of overlapping windows (windows.py), each counted
    by its tokens.
    """

    model: str
    max_tokens: int = 256
    pooling: str = "auto"
    dtype: str = "float32"
    cache: str | None = None
    prompt: str | None = None
    prompt_name: str | None = None
    convention: str = "auto"
    dimensions: int | None = None
    layers: str | int | None = None
    long_documents: str = "truncate"

    def __post_init__(self) -> None:
        if self.max_tokens < 3:
            raise ValueError(f"max_tokens must be at least 3, got {self.max_tokens}")
        if self.pooling not in ("auto", *POOLINGS):
            raise ValueError(f"pooling must be auto or one of {POOLINGS}, got {self.pooling!r}")
        if self.dtype not in DTYPES:
            raise ValueError(f"dtype must be one of {DTYPES}, got {self.dtype!r}")
        if self.convention not in ("auto", *CONVENTIONS):
            raise ValueError(f"convention must be auto or one of {CONVENTIONS}, got {self.convention!r}")
        if self.prompt is not None and self.prompt_name is not None:
            raise ValueError(f"prompt {self.prompt!r} and prompt_name {self.prompt_name!r}: only one can be used")
        if self.dimensions is not None and self.dimensions < 1:
            raise ValueError(f"dimensions must be at least 1, got {self.dimensions}")
        if self.layers is not None:
            parse_layers(self.layers)
        if self.long_documents not in LONG_DOCUMENTS:
            raise ValueError(f"long_documents must be one of {LONG_DOCUMENTS}, got {self.long_documents!r}")


@dataclass
class Counters:
    """Totals since load(). `padded_tokens` are positions computed in vain; `truncated` counts texts, of which the model
    did not see `tokens_cut`; `chunked` counts texts of several `windows`; `unknown` those of which the vocabulary
    has less than half of the tokens that the model sees; `without_vector` those that got no vector.
    """

    documents: int = 0
    tokens: int = 0
    padded_tokens: int = 0
    truncated: int = 0
    tokens_cut: int = 0
    chunked: int = 0
    windows: int = 0
    unknown: int = 0
    without_vector: int = 0

    def add(self, other: "Counters") -> None:
        """Count what another counted."""
        for name in asdict(self):
            setattr(self, name, getattr(self, name) + getattr(other, name))
