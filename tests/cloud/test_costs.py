"""How many requests a stage makes of a store: a few, and for each unit as many as docs/storage.md says."""

import re
from collections import Counter
from pathlib import Path

from sluice.pipelines.recipe.options import build_recipe
from sluice.pipelines.run.prepare import prepare
from sluice.pipelines.run.runner import run_stage
from tests.cloud.proxy import Proxy
from tests.cloud.test_run import upload
from tests.pipelines.corpora import make_rows, write_jsonl

PAGE = Path(__file__).parents[2] / "docs" / "storage.md"
RECIPE = "name: exact\nsteps:\n  - {step: exact}\n"
# What one more unit costs is counted between these.
FEW, MANY = 1, 3


def requests(store: Proxy, url: str, folder: Path, units: int) -> dict[str, Counter[str]]:
    """What every stage asks of the store, with so many files of a unit each."""
    source = Path(write_jsonl(folder / "in", make_rows(60), files=units))
    upload(source, f"{url}/in")
    (folder / "exact.yaml").write_text(RECIPE)
    largest = max(path.stat().st_size for path in source.iterdir())
    recipe = build_recipe(
        recipe=str(folder / "exact.yaml"), inputs=[f"{url}/in"], id="id", tokens="column:tokens", unit_bytes=largest
    )
    run, _ = prepare(recipe, f"{url}/run")
    assert run.units == units
    found = {}
    for stage in run.stages():
        store.reset()
        run_stage(stage, run)
        found[stage.name] = store.kinds
    return found


def documented() -> dict[str, list[int]]:
    """The table's rows: stage, and reads, ranges, writes and questions for each unit."""
    rows = re.findall(r"^\| `([\w/-]+)` \| (\d+) \| (\d+) \| (\d+) \| (\d+) \|$", PAGE.read_text(), re.MULTILINE)
    return {name: [int(number) for number in numbers] for name, *numbers in rows}


def test_a_unit_costs_the_requests_that_the_page_says(store, place, tmp_path):
    few, many = (requests(store, place(), tmp_path / str(units), units) for units in (FEW, MANY))
    table = documented()
    for stage in ("documents", "01-exact/copies", "01-exact/scores", "01-exact/keep", "corpus"):
        gets, ranges, puts, questions = table[stage]
        more = {kind: many[stage][kind] - few[stage][kind] for kind in ("get", "range", "put")}
        units = MANY - FEW
        assert more == {"get": gets * units, "range": ranges * units, "put": puts * units}, stage
        # Of the two questions that gcsfs asks at once the second is sometimes taken back before it is sent.
        assert many[stage]["info"] + many[stage]["list"] <= questions * MANY + 8, stage
    for stage in ("01-exact/copies", "01-exact/scores", "01-exact/keep", "decisions"):
        assert (many[stage]["list"], many[stage]["info"]) == (1, 0), stage
