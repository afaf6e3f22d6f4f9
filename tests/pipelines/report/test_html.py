"""report.html: every number is report.json's, texts of a corpus do nothing, and it is one file that asks nobody."""

import base64
import hashlib
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest

from sluice.pipelines.curate import curate
from sluice.pipelines.main import main
from sluice.pipelines.report.html.charts import HEIGHT, WIDTH, histogram
from sluice.pipelines.report.html.differences import MOST_CHARACTERS, marked, shown
from sluice.pipelines.report.html.write import render_page
from tests.pipelines.corpora import make_rows, write_jsonl

VOID = {"meta", "input", "br"}
# What a browser would fetch, by attribute.
FETCHED = {"src", "href", "srcset", "action", "data", "poster", "background"}
NASTY = [
    "</script><script>alert(1)</script>",
    "</style><img src=x onerror=alert(1)>",
    "\u2028\u2029 \u202egnp.exe \x1b[31m \x00 {{ 7 * 7 }} {% raw %}",
    "\"'><svg onload=alert(1)>",
    "https://example.org/?a=1&b=<2>",
    "x" * 1_000_000,
]


class Page(HTMLParser):
    """Tags in order, open ones checked; attributes; text outside of script and style."""

    def __init__(self, text: str):
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict]] = []
        self.text = ""
        self.scripts: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == [], self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("script", "style"):
            self.scripts.append(data)
        else:
            self.text += data


@pytest.fixture(scope="module")
def hostile(tmp_path_factory) -> dict:
    """The report of a run over texts, ids and sources that try to get out of the page."""
    rows = make_rows(60, seed=2)
    for number, row in enumerate(rows):
        row["id"] = f"{number}/{NASTY[number % 5]}"
        row["text"] = f"{NASTY[number % 6]} {row['text']}" if number % 2 else rows[number - 1]["text"] + " more"
        row["source"] = NASTY[number % 5]
    folder = tmp_path_factory.mktemp("hostile")
    source = write_jsonl(folder / "in", rows)
    options = {"id": "id", "vector": "embedding", "source": "source", "clusters": "4", "keep": "0.4"}
    return curate([source], str(folder / "run"), tokens="column:tokens", **options)


def test_a_run_leaves_its_page(finished):
    text = (finished.url / "report.html").read_text("utf-8")
    assert text == render_page(json.loads((finished.url / "report.json").read_bytes()))
    page, totals = Page(text), finished.report["totals"]
    for count in (totals["documents"], totals["kept"], totals["kept_tokens"], totals["rejected"]):
        assert f"{count:,}" in page.text
    for step in finished.report["steps"]:
        assert f"{step['removed']:,} of {step['documents_before']:,} documents went" in " ".join(page.text.split())


def test_the_curves_are_the_reports(finished):
    page = Page(render_page(finished.report))
    curves = {curve["step"]: curve for curve in json.loads(page.scripts[1])}
    expected = [step for step in finished.report["steps"] if step["histogram"]]
    assert [step["step"] for step in expected] == list(curves)
    for step in expected:
        bars = curves[step["step"]]["bars"]
        assert [bar[7] for bar in bars] == step["histogram"]["documents"]
        assert [bar[5] for bar in bars] == step["histogram"]["edges"][:-1]


def test_texts_of_a_corpus_do_nothing(hostile):
    text = render_page(hostile)
    page = Page(text)
    tags = [tag for tag, _ in page.tags]
    assert tags.count("script") == 2 and tags.count("style") == 1 and "img" not in tags
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    assert not [value for _, attributes in page.tags for name, value in attributes.items() if name == "style"]
    fetched = [value for _, attributes in page.tags for name, value in attributes.items() if name in FETCHED]
    assert fetched and all(value.startswith("#") for value in fetched)
    assert not re.search("[\u2028\u2029\u202a-\u202e\x00\x1b]", text)
    assert "alert(1)" in page.text and "49" not in page.text.split("{{ 7 * 7 }}")[0][-5:]
    assert len(text.encode()) < 3_000_000


def test_the_policy_names_the_hashes_of_its_own_script_and_style(finished):
    page = Page(render_page(finished.report))
    policy = next(attributes["content"] for tag, attributes in page.tags if "http-equiv" in attributes)
    style, _, script = page.scripts
    for name, text in (("style-src", style), ("script-src", script)):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{name} 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none';") and "unsafe" not in policy


@pytest.mark.parametrize(
    "options",
    [
        {"recipe": "random", "keep": "0.5"},
        {"recipe": "random", "keep": "1.0"},
        {"recipe": "semdedup", "threshold": "-1", "vector": "embedding", "text": "none", "clusters": "1"},
    ],
    ids=["without vectors", "nothing removed", "without texts, all but one removed"],
)
@pytest.mark.parametrize("documents", [1, 20])
def test_every_run_has_a_page_that_makes_sense(tmp_path, options, documents):
    source = write_jsonl(tmp_path / "in", make_rows(documents) if documents > 1 else make_rows(2)[:1], files=1)
    report = curate([source], str(tmp_path / "run"), id="id", **options)
    page = Page((tmp_path / "run" / "report.html").read_text("utf-8"))
    assert f"Kept {report['totals']['kept']:,} of {documents:,} documents" in page.text


def test_the_command_writes_it_again_or_elsewhere(finished, copy_of, tmp_path, capsys):
    run = copy_of()
    (run / "report.html").unlink()
    assert main(["report", str(run)]) == 0
    assert (run / "report.html").read_bytes() == (finished.url / "report.html").read_bytes()
    assert main(["report", str(run), "-o", str(tmp_path / "page.html")]) == 0
    assert capsys.readouterr().out.split() == [str(run / "report.html"), str(tmp_path / "page.html")]
    assert (tmp_path / "page.html").read_bytes() == (finished.url / "report.html").read_bytes()


def test_the_command_says_what_is_missing(copy_of, tmp_path, capsys):
    assert main(["report", str(tmp_path)]) == 2
    assert "is not a run directory" in capsys.readouterr().err
    run = copy_of()
    (run / "report.json").write_text("{")
    assert main(["report", str(run)]) == 2
    assert "is not what was written" in capsys.readouterr().err
    (run / "report.json").unlink()
    assert main(["report", str(run)]) == 2
    assert "has no report.json" in capsys.readouterr().err


def test_a_histogram_fills_its_picture_and_the_threshold_parts_it():
    picture = histogram([0.0, 0.5, 1.0, 2.0], [4, 0, 16], 1.0)
    assert [bar.goes for bar in picture["bars"]] == [False, False, True]
    assert picture["bars"][2].height == HEIGHT and picture["bars"][0].height == HEIGHT / 2
    assert picture["threshold"] == WIDTH / 2
    assert histogram([1.0, 1.0], [3], None)["threshold"] is None


def test_marked_pieces_are_the_text():
    for one, other in (("a b c", "a x c"), ("", "x"), ("same", "same"), ("x" * 5000, "y")):
        assert "".join(piece.text for piece in marked(one, other)) == shown(one)
    assert len(shown("x" * 5000)) == MOST_CHARACTERS + 1


@pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium is installed")
def test_a_browser_runs_its_script_and_nothing_else(hostile, tmp_path):
    page = tmp_path / "page.html"
    page.write_text(render_page(hostile), "utf-8")
    flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--virtual-time-budget=3000"]
    done = subprocess.run(
        ["chromium", *flags, f"--user-data-dir={tmp_path}/profile", "--dump-dom", page.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
    )
    # The script shows the sliders, which are hidden without it.
    assert '<div class="slider">' in done.stdout
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    assert console == []
