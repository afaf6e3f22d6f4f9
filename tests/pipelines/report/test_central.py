"""The most central documents on pages, against clusters/ read whole."""

import numpy as np
import pytest

from sluice.models.arrays.hashing import id_hash, seeded
from sluice.models.arrays.vectors import COARSE
from sluice.pipelines.commands.clusters import clusters, render
from sluice.pipelines.commands.explain.command import explain
from sluice.pipelines.commands.explain.command import render as render_explanation
from sluice.pipelines.report.report import summary
from sluice.pipelines.terminal.printing import printable
from sluice.transforms.clusters import central
from tests.pipelines.corpora import decisions
from tests.pipelines.reading_back import shown, whole

PROTOTYPES = "03-prototypes"


@pytest.fixture(scope="module")
def expected(finished) -> dict[int, list[tuple[str, float]]]:
    """Cluster -> ids and similarities of the three most central documents."""
    ids = decisions(finished.url)["id"].to_pylist()
    ties = seeded(np.frombuffer(b"".join(map(id_hash, ids)), "V16"), 0, "tie").tolist()
    assigned = whole(finished.url, f"steps/{PROTOTYPES}/clusters")
    rows = zip(assigned["cluster"].to_pylist(), assigned["similarity"].to_pylist(), ties, ids)
    found: dict[int, list[tuple[str, float]]] = {}
    for cluster, similarity, _, name in sorted(
        (row for row in rows if row[0] is not None), key=lambda row: (row[0], -row[1], row[2])
    ):
        if len(found.setdefault(cluster, [])) < 3:
            found[cluster].append((name, similarity / COARSE**2))
    return found


def test_a_prototype_leads_to_the_most_central_documents_of_its_cluster(finished, expected):
    texts = {row["id"]: row["text"] for row in finished.rows}
    fates = decisions(finished.url).to_pylist()
    for fate in (PROTOTYPES, "kept"):
        at = next(row for row in fates if row["fate"] == fate)
        found = explain(str(finished.url), f"{at['unit']}:{at['row']}", characters=12)
        cluster = found["steps"][-1]["cluster"]
        named = [(one["id"], one["similarity"]) for one in cluster["central"]]
        assert named == expected[cluster["cluster"]]
        assert cluster["similarity"] == found["steps"][-1]["score"]
        page = shown(render_explanation(found), width=120)
        for name, similarity in named:
            assert f"{name}  {similarity:.4f}  {printable(texts[name][:12])}" in page


def test_a_step_that_names_neighbours_names_no_central_documents(finished):
    removed = next(row for row in decisions(finished.url).to_pylist() if row["fate"] == "02-semdedup")
    found = explain(str(finished.url), f"{removed['unit']}:{removed['row']}")
    assert [step["cluster"] for step in found["steps"]] == [None, None]


def test_the_largest_clusters_are_shown_by_their_central_documents(finished, expected):
    made = clusters(str(finished.url), sample=0)
    found = next(one for one in made["clusterings"] if one["step"] == PROTOTYPES)["largest"]
    assert {one["cluster"]: [(c["id"], c["similarity"]) for c in one["central"]] for one in found} == expected
    page = shown(render(made))
    assert all(", ".join(one["id"] for one in cluster["central"]) in page for cluster in found[:5])
    reported = next(one for one in finished.report["clusterings"] if one["step"] == PROTOTYPES)["largest"]
    assert [one["central"] for one in reported] == [one["central"] for one in found]


def test_an_example_of_a_prototype_names_them_too(finished, expected):
    (example,) = [one for one in finished.report["examples"] if one["step"] == PROTOTYPES]
    names = ", ".join(name for name, _ in expected[example["cluster"]["cluster"]])
    assert f"the rest of its cluster; most central are {names}" in shown(summary(finished.report), width=300)


def test_a_run_without_them_is_shown_as_before(finished, monkeypatch):
    monkeypatch.setattr(central, "load_array", lambda artifact, name: np.empty((0, 4), np.int64))
    at = next(row for row in decisions(finished.url).to_pylist() if row["fate"] == PROTOTYPES)
    found = explain(str(finished.url), f"{at['unit']}:{at['row']}")
    assert found["steps"][-1]["cluster"] is None
    assert "most central in it" not in shown(render_explanation(found))
    largest = clusters(str(finished.url), sample=0)["clusterings"][-1]["largest"]
    assert [one["central"] for one in largest] == [[]] * len(largest)
