"""What is said wrongly about the input is refused before any work, and a run can be gone on with from any folder."""

import gzip
import json
from pathlib import Path

import pytest

from sluice.pipelines.curate import curate
from sluice.pipelines.main import main
from sluice.pipelines.recipe.options import build_recipe
from sluice.pipelines.report.page import summary
from sluice.pipelines.run.prepare import prepare
from sluice.pipelines.terminal.printing import emit
from tests.pipelines.corpora import make_rows, run_d4, write_jsonl


@pytest.fixture
def corpus(tmp_path) -> str:
    return write_jsonl(tmp_path / "in", make_rows(60))


@pytest.mark.parametrize(
    ("option", "name", "complaint"),
    [
        ("--text", "body", "no text, 60 times), with --text body"),
        ("--id", "uuid", "no id, 60 times), with --id uuid"),
        ("--vector", "vectors", "no vector, 60 times), with --vector vectors"),
        ("--text", "quality", "text has type number, 60 times), with --text quality"),
        ("--tokens", "colum:n", "no such file; it takes none, model, column:NAME or a tokenizer.json"),
        ("--tokens", "column:", "column: names no field"),
    ],
)
def test_a_field_that_no_record_has_is_refused_before_any_work(option, name, complaint, corpus, tmp_path, capsys):
    run = tmp_path / "run"
    assert main(["curate", "--input", corpus, "--run", str(run), "--recipe", "random", option, name]) == 2
    said = capsys.readouterr().err
    assert complaint in said and not run.exists()
    if option != "--tokens":
        assert "of the first 60 records none can be used" in said and '"text"' in said.replace("\\", "")


def test_a_format_that_is_named_wrongly_is_refused_too(tmp_path, capsys):
    (tmp_path / "in.jsonl").write_text("a page of plain text\n" * 9)
    assert main(["curate", "--input", str(tmp_path / "in.jsonl"), "--run", str(tmp_path / "run")]) == 2
    assert "not JSON, 9 times" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        ({"a.jsonl": b""}, "the input holds no records: {folder}/a.jsonl is empty"),
        ({"a.jsonl": b"\n \n", "b.jsonl.gz": gzip.compress(b"")}, "no records: 2 files, the first is {folder}/a.jsonl"),
        ({"a.txt": b"\x80", "b.md": b""}, "one, in a.txt, begins"),
        ({"a.jsonl": b"\xe9t\xe9\n"}, "one, in a.jsonl, byte 0, begins"),
    ],
)
def test_input_without_a_document_is_refused_with_a_name_before_any_work(files, complaint, tmp_path, capsys):
    folder = tmp_path / "in"
    folder.mkdir()
    for name, data in files.items():
        (folder / name).write_bytes(data)
    assert main(["curate", "--input", str(folder), "--run", str(tmp_path / "run"), "--recipe", "random"]) == 2
    assert complaint.format(folder=folder) in capsys.readouterr().err and not (tmp_path / "run").exists()


def test_a_file_of_which_nothing_can_be_used_is_on_the_page(tmp_path, capsys):
    folder = Path(write_jsonl(tmp_path / "in", make_rows(60)))
    (folder / "shard-1a.jsonl").write_bytes(b"\xe9t\xe9\n" * 7)
    (folder / "shard-1b.jsonl").write_bytes(b"")
    command = ["curate", "--input", str(folder), "--id", "id", "--run", str(tmp_path / "run"), "--recipe", "random"]
    assert main([*command, "--tokens", "none"]) == 0
    page = " ".join(capsys.readouterr().out.split())
    assert "Warning: no record of 1 file can be used: shard-1a.jsonl (7 x invalid UTF-8)." in page
    assert "1 file without any records." in page
    assert main([*command, "--tokens", "none"]) == 0
    assert f"sluice: {tmp_path / 'run'} is finished; nothing had to be done\n" in capsys.readouterr().err
    assert main(["explain", str(tmp_path / "run"), "0:40"]) == 0
    assert "it is in shard-1a.jsonl, byte 0" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "option", "complaint"),
    [
        (
            "a.txt",
            "--id",
            "id of text records cannot be named (what can be: nothing); asked for text 'text', id 'uuid'",
        ),
        ("a.txt", "--source", "columns of text records cannot be named"),
        ("a.warc", "--text", "text of warc records cannot be named (what can be: id, columns); asked for text 'uuid'"),
    ],
)
def test_fields_that_a_format_does_not_have_are_refused_before_any_work(name, option, complaint, tmp_path, capsys):
    (tmp_path / name).write_text("nothing that is read")
    run = tmp_path / "run"
    assert (
        main(["curate", "--input", str(tmp_path / name), "--run", str(run), "--recipe", "random", option, "uuid"]) == 2
    )
    assert complaint in capsys.readouterr().err and not run.exists()


def test_one_bad_file_of_several_is_left_to_the_run(corpus, tmp_path):
    """Which counts its records, and goes on or not as the recipe says."""
    for number in range(3):
        (Path(corpus) / f"a-bad-{number}.jsonl").write_text("nothing\n")
    recipe = build_recipe(recipe="random", inputs=corpus, max_reject_share=0.5, unit_bytes=4000)
    run, _ = prepare(recipe, str(tmp_path / "run"))
    assert run.units > 3


def test_a_column_without_a_value_is_warned_of(corpus, tmp_path, caplog):
    prepare(build_recipe(recipe="random", inputs=corpus, source="sorce"), str(tmp_path / "run"))
    assert "none of the first 60 documents has a value for --source sorce" in caplog.text
    caplog.clear()
    prepare(build_recipe(recipe="random", inputs=corpus, source="source"), str(tmp_path / "run"))
    assert not caplog.text


@pytest.mark.parametrize(
    ("source", "run"),
    [("in", "in/run"), ("in", "in"), ("run/corpus", "run"), (".", "runs/a"), ("link", "in/run"), ("**/*.jsonl", "run")],
)
def test_a_run_inside_of_its_input_is_refused(source, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path / "in")
    for folder in ("in", "run/corpus"):
        write_jsonl(tmp_path / folder, make_rows(20))
    for place in (run, f"file://{tmp_path}/{run}"):
        with pytest.raises(ValueError, match=r"is inside of the .*: name another --run"):
            curate([source], place, recipe="random")
    assert not list(tmp_path.rglob("recipe.yaml"))
    prepare(build_recipe(recipe="random", inputs="in"), "in/.hidden/run")
    prepare(build_recipe(recipe="random", inputs="in/*.jsonl"), "in/beside")


def test_bad_records_that_come_first_and_are_few_stop_nothing(tmp_path):
    rows = "".join(json.dumps(row) + "\n" for row in make_rows(60))
    (tmp_path / "in.jsonl").write_text('{"x": 1}\n' * 5000 + rows)
    prepare(build_recipe(recipe="random", inputs=str(tmp_path / "in.jsonl")), str(tmp_path / "run"))
    (tmp_path / "in.jsonl").write_text('{"x": 1}\n' * 5000)
    with pytest.raises(ValueError, match="of the first 5,000 records none can be used"):
        prepare(build_recipe(recipe="random", inputs=str(tmp_path / "in.jsonl")), str(tmp_path / "run"))
    prepare(build_recipe(recipe="random", inputs=str(tmp_path / "in.jsonl"), max_reject_share=1), str(tmp_path / "run"))


def test_other_input_than_last_time_is_told(corpus, tmp_path):
    recipe = build_recipe(recipe="random", inputs=corpus)
    curate([corpus], str(tmp_path / "run"), recipe="random")
    assert prepare(recipe, str(tmp_path / "run"))[1] == []
    (Path(corpus) / "shard-1.jsonl").unlink()
    (said,) = prepare(recipe, str(tmp_path / "run"))[1]
    assert said.startswith("changed since the last time: the input files")


def test_paths_of_a_recipe_file_hold_from_any_folder(tmp_path, monkeypatch):
    write_jsonl(tmp_path / "in", make_rows(60))
    model = Path(__file__).parents[2] / "data" / "bert"
    (tmp_path / "bert").symlink_to(model)
    (tmp_path / "recipe.yaml").write_text(
        json.dumps(
            {
                "input": {"paths": ["in"], "tokens": "tokenizer.json"},
                "embedding": {"model": "bert"},
                "steps": [{"step": "semdedup", "centroids": "other", "cut": {"ratio": 0.5}}],
            }
        )
    )
    monkeypatch.chdir(tmp_path)
    recipe = build_recipe(recipe="recipe.yaml")
    assert recipe.input.paths == (f"{tmp_path}/in",) and recipe.input.tokens == f"{tmp_path}/tokenizer.json"
    assert recipe.embedding.model == f"{tmp_path}/bert" and recipe.steps[0].centroids == f"{tmp_path}/other"
    monkeypatch.chdir(tmp_path / "in")
    assert type(recipe).model_validate(recipe.model_dump()) == recipe
    for word in ("none", "model", "auto", "column:n"):
        assert build_recipe(recipe="random", inputs="a.jsonl", tokens=word).input.tokens == word
    assert build_recipe(inputs="gs://b/in", model="intfloat/e5-small").embedding.model == "intfloat/e5-small"


def test_sources_that_no_document_has_are_in_the_summary(corpus, tmp_path, capsys):
    (tmp_path / "recipe.yaml").write_text(
        "steps:\n- {step: semdedup, protect: [books, boks], order: {sources: [web, wbe]}, cut: {ratio: 0.9}}\n"
    )
    report = run_d4(corpus, tmp_path / "run", recipe=str(tmp_path / "recipe.yaml"), source="source", keep=None)
    assert report["sources"]["unknown"] == {"01-semdedup": ["boks", "wbe"]}
    emit(report, summary(report), as_json=False)
    assert "01-semdedup names sources that no document has: boks, wbe." in " ".join(capsys.readouterr().out.split())
