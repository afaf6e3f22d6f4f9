"""Sluice makes language-model training corpora smaller and better.

    import sluice

    report = sluice.curate("corpus/*.jsonl.zst", "runs/first", recipe="d4", keep="0.5")
    run = sluice.Run("runs/first")
    run.decisions().to_pandas()

Importing this loads nothing heavy: what a name stands for is imported when the name is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sluice.finished_run import Run as Run
    from sluice.pipelines.curate import curate as curate

    __version__: str

_PLACES = {"Run": "sluice.finished_run", "curate": "sluice.pipelines.curate"}
__all__ = ["Run", "__version__", "curate"]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        value: Any = import_module("importlib.metadata").version("sluice")
    elif name in _PLACES:
        value = getattr(import_module(_PLACES[name]), name)
    else:
        raise AttributeError(f"module 'sluice' has no attribute {name!r}; it offers {', '.join(__all__)}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
