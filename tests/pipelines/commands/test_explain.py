"""Explanations against the decisions and the input they explain."""

import argparse
import json
import re
from pathlib import Path

import pyarrow as pa
import pytest

from sluice.pipelines.commands.explain import command
from sluice.pipelines.commands.explain.command import explain, render
from tests.pipelines.corpora import artifact, decisions
from tests.pipelines.reading_back import rewrite, shown


@pytest.fixture(scope="module")
def places(finished) -> dict[tuple[int, int], dict]:
    """Decisions and input rows by address."""
    table = decisions(finished.url).to_pylist()
    return {(row["unit"], row["row"]): row | {"source": source} for row, source in zip(table, finished.rows)}


def links(places: dict, row: dict) -> list[dict]:
    found = []
    while row["fate"] != "kept" and row["neighbour_row"] is not None:
        row = places[row["neighbour_unit"], row["neighbour_row"]]
        found.append(row)
    return found


def page(found: dict) -> str:
    return shown(render(found), width=120)


def test_a_removed_document_is_followed_to_the_one_that_stands_for_it(finished, places):
    removed = [row for row in places.values() if row["fate"] in ("01-exact", "02-semdedup")]
    longest = max(removed, key=lambda row: len(links(places, row)))
    expected = links(places, longest)
    assert len(expected) > 1
    found = explain(str(finished.url), f"{longest['unit']}:{longest['row']}")
    assert [one["id"] for one in found["chain"]] == [one["id"] for one in expected]
    assert (found["fate"], found["score"], found["threshold"]) == tuple(
        longest[name] for name in ("fate", "score", "threshold")
    )
    assert found["text"] == longest["source"]["text"]
    assert found["neighbour"]["text"] == expected[0]["source"]["text"]
    kept = expected[-1]["id"] if expected[-1]["fate"] == "kept" else None
    assert found["kept_relative"] == kept
    assert f"ends at {expected[-1]['id']}" in page(found)


def test_every_document_has_the_fate_that_was_decided(finished, places):
    for (unit, row), expected in list(places.items())[::10]:
        found = explain(str(finished.url), f"{unit}:{row}", characters=10)
        assert (found["id"], found["fate"]) == (expected["id"], expected["fate"])
        assert found["text"] == expected["source"]["text"][:10]
        last = found["steps"][-1]
        assert last["outcome"] == ("kept" if expected["fate"] == "kept" else "removed")
        assert last["score"] == expected["score"]
        assert len(found["steps"]) == (3 if expected["fate"] == "kept" else int(expected["fate"][:2]))


def test_an_id_finds_its_document(finished, places):
    expected = places[0, 1]
    found = explain(str(finished.url), expected["id"])
    assert (found["unit"], found["row"], found["same_id"]) == (0, 1, 0)


def test_documents_that_share_the_id_are_mentioned(finished):
    found = explain(str(finished.url), "document-40")
    assert found["same_id"] == 2
    assert "2 more documents have this id" in page(found)


@pytest.mark.parametrize("wanted", ["document-29x", "DOCUMENT-29"])
def test_an_unknown_id_names_near_ones(finished, wanted):
    with pytest.raises(ValueError, match=r"has no document .*near it are .*document-29"):
        explain(str(finished.url), wanted)


@pytest.mark.parametrize("wanted", ["", "zzz", "999:1", "\x1b[31m"])
def test_an_unknown_id_without_near_ones_is_just_unknown(finished, wanted):
    with pytest.raises(ValueError, match="has no document") as error:
        explain(str(finished.url), wanted)
    assert str(error.value).isprintable()


def test_a_rejected_record_has_its_reason(finished):
    rejected = artifact(finished.url, "rejected")
    rows = [
        (part["unit"], row) for part in rejected.manifest["parts"] for row in rejected.read(part["unit"]).to_pylist()
    ]
    unit, row = next((unit, row) for unit, row in rows if row["head"].startswith("this is not"))
    found = explain(str(finished.url), f"{unit}:{row['row']}")
    assert found["fate"] == "rejected"
    assert found["head"].startswith("this is not JSON")
    assert "was rejected" in page(found)


def test_the_id_of_a_rejected_record_leads_to_it(finished):
    with pytest.raises(
        ValueError, match=r"no document no text.*; rejected records have this id: (\d+:\d+) \("
    ) as error:
        explain(str(finished.url), "no text")
    at = re.search(r"(\d+:\d+) \(", str(error.value))[1]
    assert explain(str(finished.url), at)["head"].startswith('{"id": "no text"')
    for word in ("no tex", "text", "embedding"):
        with pytest.raises(ValueError, match=f"no document {word}") as error:
            explain(str(finished.url), word)
        assert "rejected" not in str(error.value)


def test_a_row_that_no_record_has_is_refused(finished):
    with pytest.raises(ValueError, match="unit 0 has no record in row 100000"):
        explain(str(finished.url), "0:100000")


def test_hostile_texts_are_shown_and_not_obeyed(finished, places):
    row = next(row for row in places.values() if "\x1b" in row["source"]["text"])
    shown = page(explain(str(finished.url), f"{row['unit']}:{row['row']}"))
    assert "[bold red]markup[/]" in shown
    assert "\\x1b[31mred" in shown and "\x1b" not in shown
    assert "\\u202e" in shown and "‮" not in shown


def test_long_texts_are_cut_unless_asked_for(finished, capsys):
    arguments = {"url": str(finished.url), "document": "0:0", "characters": 20, "json": False}
    assert command.run(argparse.Namespace(**arguments, full=False)) == 0
    assert "more characters (--full)" in capsys.readouterr().out
    assert command.run(argparse.Namespace(**arguments, full=True)) == 0
    assert "more characters" not in capsys.readouterr().out


def test_json_is_ascii_and_whole(finished, capsys):
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    assert command.run(parser.parse_args([str(finished.url), "0:0", "--json"])) == 0
    out = capsys.readouterr().out
    assert out.isascii()
    assert json.loads(out) == explain(str(finished.url), "0:0", characters=command.CHARACTERS)


def test_a_changed_input_is_said_and_the_decision_still_shown(copy_of, finished, places, tmp_path):
    run = copy_of()
    recipe = (run / "recipe.yaml").read_text()
    source = finished.rows[0]["id"]
    inventory = explain(str(run), source)
    assert inventory["problem"] is None
    # A run's inputs are known by size and time: another inventory would be another run, so the file itself is moved.
    path = next(line.split("- ")[1] for line in recipe.splitlines() if line.strip().startswith("- /"))
    moved = Path(path).rename(tmp_path / "elsewhere")
    try:
        found = explain(str(run), source)
    finally:
        moved.rename(path)
    assert found["fate"] == inventory["fate"]
    assert found["text"] is None and "has changed or gone" in found["problem"]
    assert "has changed or gone" in page(found)


def test_a_place_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"is not a run directory: it has no recipe\.yaml"):
        explain(str(tmp_path), "x")


def test_a_run_without_decisions_is_refused(copy_of):
    run = copy_of()
    (run / "decisions" / "manifest.json").unlink()
    with pytest.raises(FileNotFoundError, match="decisions is not finished; `sluice status"):
        explain(str(run), "document-1")


def test_documents_that_name_each_other_end_the_walk(copy_of, places):
    """Rule `components` can record a pair as each other's neighbour."""
    run = copy_of()

    def circle(table: pa.Table) -> pa.Table:
        for name, values in (
            ("fate", ["02-semdedup"] * 2),
            ("neighbour_unit", [0, 0]),
            ("neighbour_row", [1, 0]),
        ):
            at = table.column_names.index(name)
            column = pa.array([*values, *table[name].to_pylist()[2:]], table.schema.field(name).type)
            table = table.set_column(at, name, column)
        return table

    rewrite(run, "decisions", circle, unit=0)
    found = explain(str(run), "0:0")
    assert [(one["unit"], one["row"]) for one in found["chain"]] == [(0, 1)]
    assert found["kept_relative"] is None
