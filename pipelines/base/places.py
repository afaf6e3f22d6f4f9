"""Where files are, said so that a run can be gone on with from any folder."""

import os


def absolute_path(path: str) -> str:
    """A URL as it is, a path from the root. Raises ValueError for an empty one."""
    if not path:
        raise ValueError("an empty path is given")
    return path if "://" in path else os.path.abspath(path)


def absolute_paths(paths: tuple[str, ...]) -> tuple[str, ...]:
    """absolute_path of each."""
    return tuple(map(absolute_path, paths))
