"""A run on a file system that is not local: whole, cheap to repeat, and the same as on a disk."""

import uuid

from sluice.transforms import storage
from sluice.transforms.storage import committing
from tests.pipelines.corpora import artifact, decisions, make_rows, run_d4, write_jsonl


def test_a_run_in_an_object_store_decides_the_same(tmp_path):
    source = write_jsonl(tmp_path / "in", make_rows(120))
    root = f"memory://runs-{uuid.uuid4().hex}"
    for name in ("shard-0.jsonl", "shard-1.jsonl", "shard-2.jsonl"):
        committing.replace_bytes(f"{root}/in/{name}", storage.read_bytes(f"{source}/{name}"))
    run_d4(source, tmp_path / "run")
    run_d4(f"{root}/in", f"{root}/run")
    run_d4(f"{root}/in", f"{root}/run")
    assert decisions(f"{root}/run").equals(decisions(tmp_path / "run"))
    local, remote = (artifact(run, "corpus/_parts").manifest["totals"] for run in (tmp_path / "run", f"{root}/run"))
    assert local == remote
