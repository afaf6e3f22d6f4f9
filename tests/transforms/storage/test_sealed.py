"""Files carry their own checksums: any change of any byte is noticed."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.transforms.stages.artifacts import Artifact
from sluice.transforms.stages.commit import commit
from sluice.transforms.stages.manifests import find_manifest
from sluice.transforms.storage import sealed
from sluice.transforms.storage.damage import ArtifactError, Damaged, run_of

ARRAY = np.arange(24, dtype=np.int16).reshape(4, 6)
DAMAGES = {
    "a bit flipped": lambda data, at: data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :],
    "zeros": lambda data, at: data[:at] + bytes(len(data[at : at + 40])) + data[at + 40 :],
    "cut": lambda data, at: data[:at],
    "more at the end": lambda data, at: data + data[at:],
}


def test_a_sealed_array_is_an_npy_file(tmp_path):
    path = f"{tmp_path}/some.npy"
    sealed.save_array(path, ARRAY)
    assert np.array_equal(np.load(path), ARRAY) and np.array_equal(sealed.load_array(path, folder="/run/x"), ARRAY)
    assert Path(path).read_bytes()[-12:-4] == b"\0sluice1" and sealed.problem(path) is None


@given(name=st.sampled_from(sorted(DAMAGES)), place=st.floats(0, 1, exclude_max=True))
def test_damage_anywhere_in_a_sealed_file_is_noticed(tmp_path_factory, name, place):
    path = tmp_path_factory.mktemp("sealed") / "some.npy"
    sealed.save_array(str(path), ARRAY)
    data = path.read_bytes()
    damaged = DAMAGES[name](data, int(place * len(data)))
    path.write_bytes(damaged)
    assert (sealed.problem(str(path)) is None) == (damaged == data)


def test_an_error_names_the_file_and_the_cure(tmp_path):
    folder = "/run/steps/02-semdedup/centroids"
    path = tmp_path / "centroids.npy"
    with pytest.raises(Damaged, match=r"centroids.npy is damaged: it is missing; `sluice check /run --repair` removes"):
        sealed.load_array(str(path), folder=folder)
    path.write_bytes(b"short")
    with pytest.raises(ArtifactError, match="it has no checksum at its end; `sluice check /run --repair`"):
        sealed.load_array(str(path), folder=folder)


@pytest.mark.parametrize(
    "folder", ["/run/documents", "/run/corpus/_parts", "/run/steps/01-minhash/scores", "/run/steps/embedded-02/keep/"]
)
def test_the_run_directory_of_a_stage_is_known(folder):
    assert run_of(folder) == "/run"


def test_a_damaged_file_is_replaced_and_a_whole_one_stays(tmp_path):
    path = tmp_path / "some.npy"
    path.write_bytes(b"what a full disk took")
    sealed.save_array(str(path), ARRAY)
    assert np.array_equal(np.load(path), ARRAY)
    sealed.save_array(str(path), ARRAY + 1)
    assert np.array_equal(np.load(path), ARRAY)


def test_a_copied_file_has_one_checksum(tmp_path):
    sealed.save_array(f"{tmp_path}/a", ARRAY)
    sealed.copy(f"{tmp_path}/a", f"{tmp_path}/b")
    assert Path(tmp_path, "a").read_bytes() == Path(tmp_path, "b").read_bytes()


@pytest.fixture
def artifact(tmp_path):
    found = Artifact(f"{tmp_path}/documents", "0123456789abcdef")
    table = pa.table({"row": pa.array(range(300), pa.uint32()), "name": ["x" * (n % 7) for n in range(300)]})
    found.write(3, [table], table.schema, {"documents": 300})
    return found


def test_a_part_carries_its_checksum_and_any_reader_reads_it(artifact):
    path = artifact.path(3)
    stored = pq.read_metadata(path).metadata[b"sluice.crc32c"]
    checksum, size, problem = sealed.check_part(path)
    assert problem is None and size == Path(path).stat().st_size and len(stored) == 8 != int(stored, 16)
    assert checksum == sealed.checksum_of(path)[0] and pq.read_table(path).num_rows == 300


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_part_of_an_unfinished_stage_is_made_again(artifact, name, caplog):
    path = Path(artifact.path(3))
    data = path.read_bytes()
    for at in range(0, len(data), 7):
        path.write_bytes(DAMAGES[name](data, at))
        with pytest.raises(Damaged, match="is damaged: "):
            artifact.read_unfinished(3)
        with pytest.raises(Damaged, match="is damaged: "):
            artifact.describe(3)
    assert artifact.existing(3) is None and not path.exists()
    assert "is damaged" in caplog.text and "it is made again" in caplog.text


def test_a_manifest_with_any_other_byte_is_none(artifact):
    commit(artifact, parts=[artifact.describe(3)], config={"words": "é"}, totals={"mean": 0.1})
    path = Path(artifact.url, "manifest.json")
    data = path.read_bytes()
    assert find_manifest(artifact.url)["totals"] == {"documents": 300, "mean": 0.1}
    for at in range(len(data)):
        path.write_bytes(DAMAGES["a bit flipped"](data, at))
        assert find_manifest(artifact.url) is None, at
    with pytest.raises(Damaged, match=r"manifest.json is damaged: it is not what was written"):
        _ = Artifact(artifact.url, "another").manifest


def test_a_manifest_of_a_version_without_checksums_is_read(artifact):
    manifest = commit(artifact, parts=[artifact.describe(3)], config={})
    import json

    Path(artifact.url, "manifest.json").write_text(json.dumps(manifest, indent=1))
    assert find_manifest(artifact.url)["rows"] == 300
