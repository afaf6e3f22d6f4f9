"""The steps that a recipe can have: one file each, found by being here."""

import importlib
import pkgutil
from functools import cache
from typing import Any

from sluice.pipelines.base.step import Step


@cache
def find_steps() -> dict[str, Any]:
    """The steps' classes by name, in alphabetical order of their files."""
    found: dict[str, Any] = {}
    for file in pkgutil.iter_modules(__path__):
        module = importlib.import_module(f"{__name__}.{file.name}")
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, Step) and value.__module__ == module.__name__:
                found[value.model_fields["step"].default] = value
    return found
