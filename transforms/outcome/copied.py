"""The files of a curated corpus, which its artifact lists."""

from collections.abc import Iterator

import pyarrow as pa

from sluice.transforms import storage
from sluice.transforms.stages.artifacts import Artifact
from sluice.transforms.storage.sealed import checksum_of


def corpus_folder(corpus: Artifact) -> str:
    """Where the copied files are: the artifact itself is a folder inside it, which readers of the corpus pass over."""
    return corpus.url.rsplit("/", 1)[0]


def damaged_files(folder: str, listed: pa.Table) -> Iterator[tuple[str, str]]:
    """(name, what is wrong) of those copied files that are not what a part of the corpus lists."""
    for name, size, checksum in zip(*(listed[column].to_pylist() for column in ("name", "bytes", "crc32c"))):
        try:
            with storage.local_copy(storage.join(folder, name)) as path:
                found, there = checksum_of(path)
        except FileNotFoundError:
            yield name, "it is missing"
            continue
        if (found, there) != (checksum, size):
            yield (
                name,
                f"it has {there} bytes, checksum {found:08x}; {size} bytes, checksum {checksum:08x} were written",
            )
