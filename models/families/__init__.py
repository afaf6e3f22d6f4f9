"""The families of models there are: the files of models/families, found by the model_type of config.json."""

import importlib
import pkgutil
from types import ModuleType
from typing import Any

from sluice.models.tokenizers import chosen

FOLDER = "sluice.models.families"


def families() -> list[str]:
    """The names of the files of models/families."""
    folder = importlib.import_module(FOLDER)
    return sorted(module.name for module in pkgutil.iter_modules(folder.__path__))


def family(model_type: Any, directory: str) -> ModuleType:
    """The module whose MODEL_TYPES hold the model_type of a directory's config.json.

    Raises ValueError, naming those there are, for any other.
    """
    names = families()
    if model_type in names:
        names.insert(0, model_type)  # the usual case needs no other file
    known: list[str] = []
    for name in names:
        module = importlib.import_module(f"{FOLDER}.{name}")
        if model_type in module.MODEL_TYPES:
            return module
        known += module.MODEL_TYPES
    supported = ", ".join(sorted({*known, chosen.TABLE}))
    raise ValueError(f"{directory}: model_type {model_type!r} is not supported: there are {supported}")
