"""What the DoFns of this process have done so far, for a progress line in the same process."""

import threading
from collections import Counter

_lock = threading.Lock()
_done: Counter[str] = Counter()


def add(stage: str, amount: int) -> None:
    """Count `amount` documents as handled by a stage. Called once a window or a batch, not once a document."""
    with _lock:
        _done[stage] += amount


def done(stage: str) -> int:
    return _done[stage]


def reset() -> None:
    with _lock:
        _done.clear()
