"""The corruption experiment with embedders whose answer is known."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.scip.__main__ import main
from benchmarks.scip.experiment import experiment
from benchmarks.scip.files import parse, take_files
from benchmarks.scip.page import page


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A hundred small modules, one that does not parse, one that is no UTF-8, one too short."""
    place = tmp_path_factory.mktemp("code")
    for number in range(100):
        lines = [
            f"def f{number}_{line}(x, y={line}):\n    if x > y:\n        return [x, 'a', (y)]\n" for line in range(9)
        ]
        (place / f"m{number}.py").write_text("# head\n\n" + "".join(lines))
    (place / "broken.py").write_text("x = (" * 200)
    (place / "latin.py").write_bytes(b"x = '\xe9'\n" * 100)
    (place / "short.py").write_text("x = 1\n")
    return place


def shape(texts: list[str]) -> np.ndarray:
    """Clean and harmlessly edited files lie around one point, corrupted ones, told by parsing, around another."""
    random = np.random.default_rng(0)
    centre = np.array([np.eye(16)[0 if parse(text) else 1] for text in texts])
    return centre + 0.2 * random.normal(size=(len(texts), 16))


def noise(texts: list[str]) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(len(texts), 16))


def test_a_model_that_sees_syntax_errors_is_told_from_one_that_sees_nothing(folder):
    seeing = experiment(files=80, folder=str(folder), embed=shape, window=1000, clusters=4)
    blind = experiment(files=80, folder=str(folder), embed=noise, window=1000, clusters=4)
    for found in (seeing, blind):
        assert found["files"] == 80 and found["clean"]["files"] == 40
        assert {row["family"] for row in found["corruptions"]} == {"syntax", "content", "control"}
    brackets = [found["corruptions"][0] for found in (seeing, blind)]
    assert all(row["files"] == 40 and row["parses"] == 0 for row in brackets)
    assert brackets[0]["farther"] > 35 and 8 < brackets[1]["farther"] < 32
    assert seeing["pruning"]["scip"] > 1.5 * seeing["pruning"]["random"]
    assert abs(blind["pruning"]["scip"] - 0.2) < 0.15
    assert blind["pruning"]["random"] == pytest.approx(0.2)


def test_the_page_has_a_row_for_every_corruption_and_names_chance(folder):
    found = experiment(files=40, folder=str(folder), embed=noise, window=1000)
    shown = page(found)
    assert all(f"| {row['family']}: {row['corruption']} " in shown for row in found["corruptions"])
    assert "random pruning would take 20.0%" in shown and "Chance is 50%" in shown


def test_files_that_are_no_python_are_left_out_and_the_order_is_the_seeds(folder):
    names = [name for name, _ in take_files(1000, str(folder), seed=0)]
    assert len(names) == 100 and not {"broken.py", "latin.py", "short.py"} & set(names)
    assert [name for name, _ in take_files(30, str(folder), seed=0)] == names[:30]
    assert [name for name, _ in take_files(1000, str(folder), seed=1)] != names
    assert all(text.startswith("def") for _, text in take_files(5, str(folder), seed=0))


@pytest.mark.parametrize(
    ("options", "complaint"),
    [(["--files", "3"], "--files must be at least 20"), (["--share", "0"], "--share is above 0")],
)
def test_wrong_options_are_refused(options, complaint, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(options)
    assert complaint in capsys.readouterr().err


def test_too_few_files_are_refused(tmp_path):
    with pytest.raises(ValueError, match="0 Python files"):
        experiment(files=40, folder=str(tmp_path), embed=noise, window=1000)
