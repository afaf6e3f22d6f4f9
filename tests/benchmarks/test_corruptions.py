"""Each corruption changes what it says, where it says, and nothing else."""

import ast

import numpy as np
import pytest

from benchmarks.scip import corruptions, shift
from sluice.models.arrays.vectors import quantise
from sluice.models.clustering import kmeans

SOURCE = '''# licence

def area(width, height=2):
    """A text with 3 words, if any."""
    if (width > 10 and height == 1) or {1: 2}[1]:
        return f(width * 2)
    while height: height += 1
    return {"a": width, 'b': [height, 0x10, 1.5]}
'''


def corrupted(
    kind: str, *, share: float = 1.0, window: int = 10_000, source: str = SOURCE, name: str = "a"
) -> str | None:
    return corruptions.corrupt(source, kind, share=share, window=window, name=name, seed=0)


@pytest.mark.parametrize(
    ("kind", "before", "after"),
    [
        ("closing brackets removed", "return f(width * 2)", "return f(width * 2"),
        ("block colons removed", "def area(width, height=2):", "def area(width, height=2)"),
        ("lines misindented", "    if (width", "     if (width"),
        ("variables renamed", "def area(width, height=2)", "def area(width_0, height_0=2)"),
        ("conditions made true", "if (width > 10 and height == 1) or {1: 2}[1]:", "if True:"),
        ("conditions made true", "while height: height += 1", "while True: height += 1"),
        ("numbers off by one", "width > 10 and height == 1", "width > 11 and height == 2"),
        ("numbers off by one", "0x10, 1.5", "0x10, 1.5"),
        ("operators swapped", "width > 10 and height == 1) or", "width < 10 or height != 1) and"),
        ("other quotes", """{"a": width, 'b':""", """{'a': width, "b":"""),
    ],
)
def test_a_corruption_changes_what_it_says(kind, before, after):
    found = corrupted(kind)
    assert before in SOURCE and found is not None and after in found
    assert '"""A text with 3 words, if any."""' in found and "# licence" in found


def test_what_a_family_is_called_is_what_it_does_to_parsing():
    for kind, (family, _) in corruptions.KINDS.items():
        found = corrupted(kind)
        assert found not in (None, SOURCE)
        if family != "syntax" or kind == "variables renamed":
            ast.parse(found)
        else:
            with pytest.raises(SyntaxError):
                ast.parse(found)
    assert ast.dump(ast.parse(corrupted("other quotes"))) == ast.dump(ast.parse(SOURCE))


def test_a_share_of_the_places_changes_the_same_ones_every_time():
    source = "x = [" + "(1), " * 100 + "]\n"
    found = corrupted("closing brackets removed", share=0.3, source=source)
    assert found.count(")") == 100 - 30 + (found.count("]") == 0)
    assert found == corrupted("closing brackets removed", share=0.3, source=source)
    assert found != corrupted("closing brackets removed", share=0.3, source=source, name="b")
    assert corrupted("closing brackets removed", share=0.001, source=source).count(")") + 1 in (100, 101)


def test_nothing_changes_outside_of_the_window_and_nothing_to_change_is_none():
    at = SOURCE.index("return f")
    found = corrupted("operators swapped", window=at)
    assert found != SOURCE and found.endswith(SOURCE[at:])
    assert corrupted("operators swapped", window=20) is None
    assert corrupted("numbers off by one", source="x = y\n") is None


def test_what_is_no_python_is_refused():
    with pytest.raises(ValueError, match="not Python"):
        corrupted("numbers off by one", source="x = (1,\n")


def test_comments_at_the_head_are_left_out():
    assert corruptions.without_header(SOURCE).startswith("def area")
    assert corruptions.without_header("# only\n\n") == ""


def test_moves_are_counted_pair_by_pair():
    random = np.random.default_rng(0)
    large, small = np.eye(8)[0], np.eye(8)[1]
    reference = quantise(
        np.concatenate([large + 0.05 * random.normal(size=(30, 8)), small + 0.05 * random.normal(size=(5, 8))])
    )
    clusters = shift.Clusters.of(reference[random.permutation(35)], 2)
    assert sorted(clusters.sizes) == [5, 30]
    clean = quantise(np.array([large, large, small, large]))
    moved = quantise(np.array([large, small, large, large + 0.3 * np.eye(8)[2]]))
    found = shift.compare(clusters, clean, moved)
    assert [found[name] for name in ("files", "same_vector", "smaller", "larger")] == [4, 1, 1, 1]
    assert found["farther"] + found["nearer"] == 3 and found["size_clean"][1] == 30
    assert found["distance"][2] > found["distance_clean"][2]


def test_pruning_takes_small_clusters_out_of_a_mixture():
    random = np.random.default_rng(0)
    strange = np.arange(100) % 10 == 0
    vectors = quantise(np.where(strange[:, None], np.eye(8)[1], np.eye(8)[0]) + 0.01 * random.normal(size=(100, 8)))
    assert len(kmeans.train(vectors.astype(np.float32) // 8, 2).centroids) == 2
    assert shift.pruned(vectors, strange, k=2, keep=0.9, alpha=1.0) == (10, 10)
