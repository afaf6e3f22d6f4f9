"""Something done again and again beside other work: a line of progress, a sign of life."""

import contextlib
import threading
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def repeating(work: Callable[[], None], seconds: float) -> Iterator[None]:
    """Around a block while which `work` is called every so often, in a thread; the last call has ended with it."""
    stop = threading.Event()

    def repeat() -> None:
        while not stop.wait(seconds):
            work()

    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
