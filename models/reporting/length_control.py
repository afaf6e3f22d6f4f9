"""How much a step's removals are what length alone would have removed: the control of arXiv 2407.00434."""

import numpy as np


def shared_with_length(length: np.ndarray, removed: np.ndarray) -> dict[str, float | None]:
    """length: [n] of documents a step could look at, removed: bool [n] -> shares of the removed ones, 0..1.

    `longest`: that a rule which removes as many, the longest first, would have removed too; `shortest`: the same from
    the other end; `chance`: what a rule blind to length and to everything else shares on average. Where equal lengths
    lie on a rule's border it takes any of them: the share is what it takes on average. None where nothing is removed.
    """
    gone = int(removed.sum())
    if not gone:
        return {"longest": None, "shortest": None, "chance": None}
    return {
        "longest": _shared(-length, removed, gone),
        "shortest": _shared(length, removed, gone),
        "chance": gone / len(length),
    }


def _shared(key: np.ndarray, removed: np.ndarray, gone: int) -> float:
    border = np.partition(key, gone - 1)[gone - 1]
    inside, on = key < border, key == border
    taken = (gone - int(inside.sum())) / int(on.sum())
    return (int((removed & inside).sum()) + taken * int((removed & on).sum())) / gone
