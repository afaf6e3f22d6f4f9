"""JSON of files that somebody else may have written: of bounded size and depth, and one line where it is not JSON."""

import json
from pathlib import Path
from typing import Any

# A manifest of 100,000 units has 50 MB, the tokenizer.json of a vocabulary of 262,000 tokens 33 MB.
MOST_BYTES = 256 << 20


def load(data: bytes) -> Any:
    """The value of a JSON text. Raises ValueError for anything else, for one that is too large or nested too deep."""
    if len(data) > MOST_BYTES:
        raise ValueError(f"it has {len(data):,} bytes, at most {MOST_BYTES:,} are read")
    try:
        return json.loads(data.decode())
    except RecursionError:
        # Python's parser gives up at about a thousand.
        raise ValueError("lists and objects are nested too deep") from None


def read(path: Path) -> Any:
    """The value of a local file. Raises ValueError naming the file."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ValueError(f"it has {path.stat().st_size:,} bytes, at most {MOST_BYTES:,} are read")
        return load(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
