"""Of a file of which a part is wanted, a part is fetched."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sluice.transforms import storage
from sluice.transforms.corpus import reading
from sluice.transforms.corpus.inventory import plan_units
from sluice.transforms.records.records import Fields
from sluice.transforms.storage import committing

ROWS = 2000


@pytest.fixture(scope="module")
def table(bucket: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, int]:
    """A Parquet file in the bucket, of which texts are a small part; and its size."""
    rng = np.random.default_rng(0)
    texts = [f"text {number} {rng.integers(1 << 60)}" for number in range(ROWS)]
    path = tmp_path_factory.mktemp("table") / "wide.parquet"
    columns = {"text": texts, "page": [rng.bytes(5000) for _ in range(ROWS)]}
    pq.write_table(pa.table(columns), path, row_group_size=ROWS // 4)
    committing.replace_bytes(f"{bucket}/wide/wide.parquet", path.read_bytes())
    return f"{bucket}/wide", path.stat().st_size


def test_planning_reads_the_footers_of_parquet_files(table, store):
    url, size = table
    assert len(plan_units([url], unit_bytes=size // 4 + 1)) == 4
    assert store.received < size / 50, (store.received, size, store.kinds)


def test_of_a_parquet_file_the_wanted_columns_are_read(table, store):
    url, size = table
    unit = plan_units([url], unit_bytes=size // 4 + 1)[1]
    store.reset()
    assert sum(len(window.rows) for window in reading.read_unit(unit, Fields())) == ROWS // 4
    assert store.received < size / 50, (store.received, size, store.kinds)


def test_of_lines_a_unit_reads_its_own_and_little_more(bucket, store):
    lines = b"".join(b'{"text": "line %d"}\n' % number for number in range(600_000))
    committing.replace_bytes(f"{bucket}/lines/lines.jsonl", lines)
    units = plan_units([f"{bucket}/lines"], unit_bytes=1 << 20)
    store.reset()
    found = [text for window in reading.read_unit(units[-1], Fields()) for text in window.texts or ()]
    assert found[-1] == "line 599999" and len(units) > 10
    assert store.received < 3 << 20


def test_a_file_is_copied_whole_in_one_request(table, store, tmp_path):
    url, size = table
    with storage.local_copy(f"{url}/wide.parquet") as path:
        assert Path(path).stat().st_size == size
    assert store.kinds == {"get": 1}
