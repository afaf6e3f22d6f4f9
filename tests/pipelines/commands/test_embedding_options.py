"""Options of embedding from the command line to the manifest; documents without a vector have a fate."""

import json
import math
import random
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sluice.models.embedders import describe
from sluice.models.embedders.config import EmbedderConfig
from sluice.models.reporting import comparison
from sluice.pipelines.commands.compare_embedders import command as compare_embedders
from sluice.pipelines.commands.compare_embedders import variants
from sluice.pipelines.curate import curate
from sluice.pipelines.main import main
from sluice.pipelines.recipe.options import build_recipe
from sluice.pipelines.report.embedding import embedding_lines
from sluice.pipelines.report.page import summary
from sluice.pipelines.run.run import Run
from sluice.pipelines.run.runner import StageFailed
from sluice.pipelines.terminal.printing import emit
from sluice.transforms import storage
from tests.pipelines.corpora import artifact, fates, kept_ids

DATA = Path(__file__).parents[2] / "data"
WORDS = ["the", "quick", "brown", "jumps", "over", "a", "lazy", "dog", "and", "other", "documents", "in", "text"]


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> str:
    """Ninety texts: every thirtieth has the word fox, every ninth is long."""
    chosen = random.Random(0)
    folder = tmp_path_factory.mktemp("corpus")
    for part in range(2):
        with open(folder / f"part-{part}.jsonl", "w") as file:
            for number in range(45 * part, 45 * part + 45):
                words = chosen.choices(WORDS, k=60 if number % 9 == 1 else chosen.randint(4, 9))
                text = " ".join([*words, *(["fox"] if number % 30 == 0 else []), str(number % 2)])
                file.write(json.dumps({"id": f"d{number}", "text": f"{text} {number}"}) + "\n")
    return str(folder)


@pytest.fixture(scope="module")
def with_holes(tmp_path_factory) -> str:
    """A model that has NaN for the word fox."""
    from safetensors.numpy import load_file, save_file

    copy = Path(shutil.copytree(DATA / "bert", tmp_path_factory.mktemp("model") / "bert"))
    arrays = load_file(copy / "model.safetensors")
    fox = (copy / "vocab.txt").read_text().splitlines().index("fox")
    arrays["embeddings.word_embeddings.weight"][fox] = np.nan
    save_file(arrays, copy / "model.safetensors")
    return str(copy)


def run(source: str, model: str, folder: Path, **options) -> dict:
    settings = {"id": "id", "model": model, "max_tokens": 24, "clusters": "4", "keep": "0.5", "max_reject_share": 0.05}
    return curate([source], str(folder), **(settings | options))


@pytest.fixture(scope="module")
def holed(source, with_holes, tmp_path_factory) -> tuple[Path, dict]:
    folder = tmp_path_factory.mktemp("runs") / "run"
    return folder, run(source, with_holes, folder)


def test_documents_without_a_vector_are_removed_by_a_step_of_their_own_and_everything_adds_up(holed, capsys):
    folder, report = holed
    found = fates(folder)
    assert {name for name, fate in found.items() if fate == "02-embedded"} == {"d0", "d30", "d60"}
    assert sum(fate == "kept" for fate in found.values()) == math.ceil(0.5 * 90)
    assert [(step["step"], step["removed"]) for step in report["steps"]][:2] == [("01-exact", 0), ("02-embedded", 3)]
    assert [step["step"] for step in report["steps"]][2:] == ["02-semdedup", "03-prototypes"]
    assert report["totals"]["kept"] + sum(step["removed"] for step in report["steps"]) == 90
    assert report["steps"][1]["notes"] == [
        "3 documents have no vector: what the model computes is not finite, or zero."
    ]
    # Whichever document is shown as an example
    shown = {"id": "d0", "text": "a", "step": "02-embedded", "score": 1.0, "neighbour": None}
    emit(report, summary(report | {"examples": [shown]}), as_json=False)
    assert "d0  02-embedded" in capsys.readouterr().out
    totals = artifact(folder, "embeddings").manifest["totals"]
    assert totals["reasons"] == {"the model computes no finite vector for it": 3}
    assert (totals["embedded"], totals["without_vector"]) == (87, 3)


def test_the_fate_is_explained_and_the_run_is_finished(holed, capsys):
    folder, _ = holed
    assert main(["explain", str(folder), "d30"]) == 0
    assert "removed by 02-embedded" in capsys.readouterr().out
    assert main(["status", str(folder)]) == 0
    assert "02-embedded/keep" in capsys.readouterr().out


def test_a_run_of_a_model_with_holes_is_gone_on_with(holed, source, with_holes, tmp_path):
    copy = Path(shutil.copytree(holed[0], tmp_path / "run"))
    before = kept_ids(copy)
    storage.delete(str(copy / "decisions" / "manifest.json"))
    run(source, with_holes, copy)
    assert kept_ids(copy) == before


def test_more_documents_without_a_vector_than_a_run_allows_fail_it(source, with_holes, tmp_path):
    with pytest.raises((StageFailed, RuntimeError), match=r"3 of 90 records were rejected.*no finite vector"):
        run(source, with_holes, tmp_path / "run", max_reject_share=0.02)


def test_runs_without_such_documents_have_no_such_step(source, tmp_path):
    report = run(source, str(DATA / "bert"), tmp_path / "run")
    assert [step["step"] for step in report["steps"]] == ["01-exact", "02-semdedup", "03-prototypes"]
    found = report["embedding"]
    assert found["truncated"] == 10 and found["dtypes"] == {"float32": 1}
    documents = artifact(tmp_path / "run", "documents")
    tokens = np.concatenate([documents.read(p["unit"])["tokens"].to_numpy() for p in documents.manifest["parts"]])
    assert found["tokens_cut"] == int(np.maximum(tokens.astype(int) - 22, 0).sum()) > 100
    described = f"Embedded by {DATA / 'bert'} (bert): 32 dimensions, mean pooling, 24 tokens at most, float32."
    assert embedding_lines(found)[0] == described and found["unknown"] == 0
    cut = embedding_lines(found)[1]
    assert cut.startswith("10 of 90 embedded documents were truncated: the model did not see")
    assert cut.endswith("(--max-tokens, --long-documents).")
    assert embedding_lines(found | {"max_tokens_wanted": 999})[1].endswith(
        "(it takes no more than 24; --long-documents)."
    )
    table = found | {"how": found["how"] | {"family": "static"}}
    assert embedding_lines(table)[1].endswith("(--max-tokens).")
    assert embedding_lines(table | {"max_tokens_wanted": 999})[1].endswith("(it takes no more than 24).")
    prompted = found | {"how": found["how"] | {"prompt": "passage: "}, "reused": 7}
    assert 'prompt "passage: ".' in embedding_lines(prompted)[0]
    assert embedding_lines(prompted)[-1].startswith("7 documents have the vectors of an earlier embedding")


def test_long_documents_can_be_embedded_whole(source, tmp_path):
    report = run(source, str(DATA / "bert"), tmp_path / "run", long_documents="chunk-mean", tokens="none")
    found = report["embedding"]
    assert found["truncated"] == 0 and found["chunked"] == 10 and found["windows"] >= 30
    assert "10 of 90 embedded documents were long" in embedding_lines(found)[1]


def test_weights_that_were_replaced_in_their_place_are_noticed(source, with_holes, tmp_path, capsys):
    model = Path(shutil.copytree(DATA / "bert", tmp_path / "model"))
    options = [
        "--id",
        "id",
        "--keep",
        "0.5",
        "--recipe",
        "semdedup",
        "--max-reject-share",
        "0.1",
        "--model",
        str(model),
    ]
    command = ["curate", "--input", source, "--run", str(tmp_path / "run"), *options]
    for _ in range(2):
        assert main(command) == 0
        assert "changed since the last time" not in capsys.readouterr().err
    shutil.copy(Path(with_holes) / "model.safetensors", model)
    describe.describe.cache_clear()
    assert main(command) == 0
    assert "changed since the last time: the model's files; documents are embedded again" in capsys.readouterr().err


def test_documents_that_the_model_cannot_read_are_said(tmp_path):
    rows = [{"id": f"t{n}", "text": "\u0e09\u0e31\u0e19 " * n} for n in range(1, 6)]
    rows += [{"id": f"d{n}", "text": " ".join(WORDS[n:])} for n in range(10)]
    (tmp_path / "in.jsonl").write_text("\n".join(map(json.dumps, rows)))
    report = run(str(tmp_path / "in.jsonl"), str(DATA / "bert"), tmp_path / "run", clusters="1")
    assert report["embedding"]["unknown"] == 5
    assert any(
        line.startswith("Warning: of 5 of 15 embedded documents") for line in embedding_lines(report["embedding"])
    )


def test_mixed_precision_is_said():
    how = {"family": "bert", "dimension": 8, "pooling": [], "max_tokens": 24}
    found = {"model": "m", "how": how, "truncated": 0, "chunked": 0, "unknown": 0, "embedded": 5, "reused": 0}
    assert embedding_lines(found | {"dtypes": {"float32": 1, "bfloat16": 2}})[1:] == [
        "Warning: vectors of several precisions (bfloat16 in 2 units, float32 in 1 units): --dtype names one."
    ]
    assert embedding_lines(None) == []


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("dtype", "bfloat16"),
        ("prompt", "a dog "),
        ("dimensions", 8),
        ("layers", "1-2"),
        ("long_documents", "chunk-mean"),
        ("max_tokens", 12),
        ("pooling", "cls"),
    ],
)
def test_every_option_reaches_the_embedder_and_its_recipe(source, tmp_path, option, value):
    def described(**options):
        recipe = build_recipe(inputs=[source], model=str(DATA / "bert"), **options)
        return Run(str(tmp_path), recipe)

    plain, changed = described(), described(**{option: value})
    assert getattr(changed.embedder, option) == value
    assert changed.embedding_recipe != plain.embedding_recipe


def test_a_convention_and_a_prompts_name_reach_the_embedder(source, tmp_path):
    recipe = build_recipe(inputs=[source], model=str(DATA / "opt"), convention="huggingface")
    assert Run(str(tmp_path), recipe).embedding_recipe["convention"] == "huggingface"
    recipe = build_recipe(inputs=[source], model=str(DATA / "bert"), prompt_name="query")
    assert Run(str(tmp_path), recipe).embedder.prompt_name == "query"


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--layers", "2-3"], "layers must be"),
        (["--layers", "9"], "layers '9': the model has 3"),
        (["--dimensions", "0"], "embedding.dimensions"),
        (["--dimensions", "33"], "dimensions 33: the model's vectors have 32"),
        (["--prompt", "a", "--prompt-name", "b"], "only one can be used"),
        (["--prompt-name", "query"], "no prompt 'query'"),
        (["--convention", "d4"], "convention 'd4'"),
        (["--pooling", "most"], "pooling must be"),
    ],
)
def test_wrong_options_are_refused_before_any_work(source, tmp_path, capsys, options, complaint):
    command = ["curate", "--input", source, "--run", str(tmp_path / "run"), "--model", str(DATA / "bert"), *options]
    assert main(command) == 2
    assert complaint in capsys.readouterr().err
    assert not (tmp_path / "run" / "inventory").exists()


# compare-embedders ----------------------------------------------------------------------------------------------


def test_a_comparison_has_a_row_for_every_variant_and_says_what_one_lacks(source, capsys):
    options = ["--variant", "dtype=bfloat16 dimensions=16", "--variant", "layers=9", "--drop", "1", "--json"]
    base = ["compare-embedders", "--input", source, "--model", str(DATA / "bert"), "--max-tokens", "24"]
    assert main([*base, "--documents", "60", *options]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["documents"], found["pieces"], found["pieces_of"]) == (60, 1, 1)
    both, lacking, dropped = found["variants"]
    assert both["dimension"] == 16 and 0.3 < both["overlap"] <= 1 and both["speed"] > 0
    assert 0.75 <= both["semdedup"] <= 1 and 0 < both["kept"] <= 1
    assert "the model has 3" in lacking["problem"]
    block = found["blocks"][0]
    assert dropped["options"] == {"layers": block["layers"]} and block["drop"] == 1 and block["first"] in (2, 3)
    assert 0 < block["angle"] < 1
    page = compare_embedders.render(found)
    from rich.console import Console

    with Console(width=200) as console, console.capture() as captured:
        console.print(page)
    text = captured.get()
    assert "layers=9: layers '9': the model has 3" in text and f"--layers {block['layers']}" in text


def test_another_model_and_a_token_table_can_be_compared(source, tmp_path, capsys, caplog, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    table = Path(shutil.copytree(DATA / "static" / "plain", tmp_path / "a [red] table"))
    variants = [f"model='{table}'", f"model={DATA / 'qwen3'} prompt=x max_tokens=16", "prompt='the '"]
    options = [word for variant in variants for word in ("--variant", variant)]
    base = ["compare-embedders", "--input", source, "--model", str(DATA / "bert"), "--max-tokens", "24"]
    assert main([*base, "--documents", "60", "--drop", "1", *options, "--long-documents", "chunk-mean"]) == 0
    assert "a [red] table" in capsys.readouterr().out and "variant 1 of 4: model=" in caplog.text
    assert main([*base, "--documents", "60", "--drop", "1", *options, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["problem"] for row in found["variants"]] == [None] * 4
    assert [row["dimension"] for row in found["variants"]] == [16, 32, 32, 32]
    assert all(0 < row["overlap"] < 1 for row in found["variants"][:3])


def test_another_model_takes_none_of_the_options_but_the_tokens():
    whole = EmbedderConfig("m", 24, prompt="a ", cache="c", long_documents="chunk-mean", pooling="cls")
    other = variants.variant_of(whole, {"model": "n", "dimensions": 8})
    assert other == EmbedderConfig("n", 24, cache="c", dimensions=8)
    assert variants.variant_of(whole, {"dimensions": 8}) == replace(whole, dimensions=8)
    named = variants.variant_of(whole, {"prompt_name": "query"})
    assert (named.prompt, named.prompt_name) == (None, "query")


def test_the_whole_model_agrees_with_itself(source):
    from decimal import Decimal

    texts, _, _ = compare_embedders.take_texts([source], None, "text", 60)
    found = compare_embedders.compare(
        texts, EmbedderConfig(str(DATA / "bert"), 24), keep=Decimal("0.5"), variants=[{"dimensions": 32}], drop=[]
    )
    row = found["variants"][0]
    assert (row["overlap"], row["semdedup"], row["kept"]) == (1.0, 1.0, 1.0)


def test_the_whole_model_and_its_variants_are_as_the_run_will_have_them(source, monkeypatch):
    seen = []
    monkeypatch.setattr(
        compare_embedders, "compare", lambda texts, whole, **_: seen.append(whole) or {"variants": [], "blocks": []}
    )
    monkeypatch.setattr(compare_embedders, "render", lambda found: "")
    options = ["--prompt-name", "query", "--convention", "d4", "--long-documents", "chunk-mean", "--max-tokens", "9"]
    assert main(["compare-embedders", "--input", source, "--documents", "60", "--model", "m", *options]) == 0
    (whole,) = seen
    assert (whole.model, whole.max_tokens, whole.prompt, whole.prompt_name) == ("m", 9, None, "query")
    assert (whole.convention, whole.long_documents) == ("d4", "chunk-mean")


def test_dimensions_of_chunked_texts_are_cut_before_their_mean(source):
    from decimal import Decimal

    from sluice.models.embedders.load import load

    texts, _, _ = compare_embedders.take_texts([source], None, "text", 60)
    texts = [f"{text} " * 9 for text in texts]
    whole = EmbedderConfig(str(DATA / "bert"), 24, long_documents="chunk-mean")
    variant = {"dimensions": 8}
    found = compare_embedders.compare(texts, whole, keep=Decimal("0.5"), variants=[variant], drop=[])
    near = [comparison.neighbours(load(one).embed(texts)) for one in (whole, replace(whole, **variant))]
    assert found["variants"][0]["overlap"] == comparison.overlap(*near)
    rates = found["variants"][0]["documents_per_second"], found["whole"]["documents_per_second"]
    assert rates[0] == pytest.approx(found["variants"][0]["speed"] * rates[1])


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--convention", "other"], "convention"),
        (["--documents", "3"], "--documents is from 50"),
        (["--keep", "x"], "--keep is a share"),
        (["--variant", "speed=9"], "'speed=9' is not one of"),
        (["--variant", "dimensions=few"], "dimensions must be a whole number"),
        (["--variant", "prompt='a"], "No closing quotation"),
        (["--variant", "model=/nowhere/at/all"], "/nowhere/at/all"),
        (["--text", "body"], "0 texts were found in field 'body'"),
    ],
)
def test_wrong_comparisons_are_refused(source, capsys, options, complaint):
    assert main(["compare-embedders", "--input", source, "--model", str(DATA / "bert"), *options]) == 2
    assert complaint in capsys.readouterr().err
