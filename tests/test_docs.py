"""The code in the documents runs."""

import re
from pathlib import Path

import numpy as np

from tests.pipelines.corpora import kept_ids, make_rows, run_d4, write_jsonl

ROOT = Path(__file__).parent.parent


def test_the_beam_example_removes_what_curate_removes(tmp_path):
    code = re.search(r"```python\n(.*?)```", (ROOT / "docs" / "beam.md").read_text(), re.DOTALL)
    assert code
    names: dict = {}
    exec(compile(code[1], "docs/beam.md", "exec"), names)
    rows = make_rows(120)
    source = write_jsonl(tmp_path / "in", rows)
    left = names["deduplicate"](
        [source], str(tmp_path / "run"), documents=len(rows), dimension=len(rows[0]["embedding"]), threshold=0.9
    )
    run_d4(source, tmp_path / "other", recipe="semdedup", text="none", keep=None, threshold="0.9", clusters="20")
    assert left == len(kept_ids(tmp_path / "other"))
    assert left < len(np.unique([row["id"] for row in rows]))
