"""Reading ahead changes nothing but the thread."""

import threading

import pytest

from sluice.transforms.corpus.prefetch import ahead


@pytest.mark.parametrize("size", [0, 1, 100])
@pytest.mark.parametrize("depth", [1, 7])
def test_all_items_come_in_order(size, depth):
    with ahead(iter(range(size)), depth=depth) as items:
        assert list(items) == list(range(size))


def test_an_error_comes_out_after_the_items_before_it():
    def broken():
        yield 1
        raise ValueError("broken")

    seen = []
    with pytest.raises(ValueError, match="broken"), ahead(broken()) as items:
        for item in items:
            seen.append(item)
    assert seen == [1]


def test_no_more_is_made_than_is_asked_for_and_no_thread_stays():
    made = []

    def endless():
        while True:
            made.append(len(made))
            yield made[-1]

    before = threading.active_count()
    with ahead(endless(), depth=2) as items:
        assert next(items) == 0
    assert len(made) <= 5
    assert threading.active_count() == before
