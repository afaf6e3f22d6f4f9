"""What is measured is measured in a process of its own, and tables go into their page."""

import pytest

from benchmarks import measure


def test_a_function_runs_in_a_process_of_its_own_and_tells_its_peak(tmp_path):
    result, peak = measure.run("d4", "make", path=str(tmp_path / "c"), documents=10, dimension=4, clusters=2)
    assert result is None and 20 < peak < 4000
    with pytest.raises(RuntimeError, match="documents, dimension and clusters"):
        measure.run("d4", "make", path=str(tmp_path / "d"), documents=0)


def test_tables_are_put_between_the_markers_of_a_page(tmp_path, capsys):
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- measured -->\nold\n<!-- end of measured -->\nafter\n")
    for text in ("new", "newer"):
        measure.fill(page, measured=text, projected=None)
    assert page.read_text() == "before\n<!-- measured -->\nnewer\n<!-- end of measured -->\nafter\n"
    measure.fill(None, measured="shown")
    assert capsys.readouterr().out == "shown\n"
    with pytest.raises(ValueError, match="end of projected"):
        measure.fill(page, projected="text")
    markers = (measure.ROOT / "docs/measured/scale.md").read_text()
    assert all(
        markers.count(f"<!-- {part}{name} -->") == 1 for part in ("", "end of ") for name in ("measured", "projected")
    )
