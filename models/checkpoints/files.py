"""Where a model's files lie: a local directory, a directory of any fsspec URL, or a name on the Hugging Face hub.

What is not local is copied once, and only what a model needs: configuration, weights that are no pickle, vocabulary.
"""

import contextlib
import functools
import hashlib
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

log = logging.getLogger("sluice")
HUB_NAME = re.compile(r"(?P<name>\w[\w.-]*/\w[\w.-]*)(@(?P<revision>[\w./-]+))?")
HUB = "hf://"
SMALL = (".json", ".txt", ".model")
WEIGHTS = (".safetensors", ".msgpack")  # the first kind that is there


def local_directory(model: str) -> str:
    """The local directory of a model: a directory, a URL such as gs://bucket/model, or organisation/name[@revision]
    on the hub, with or without hf:// in front.

    Raises FileNotFoundError where there is none, or it cannot be fetched, saying why.
    """
    if model.startswith(HUB) and (found := HUB_NAME.fullmatch(model.removeprefix(HUB).rstrip("/"))):
        return _from_hub(found["name"], found["revision"])
    if "://" in model:
        return _copied(model)
    path = Path(model).expanduser()
    if path.is_dir():
        return str(path)
    if path.is_file():
        raise FileNotFoundError(f"{model} is a file: a model is named by its directory, with config.json and the rest")
    if found := HUB_NAME.fullmatch(model):
        if _misspelt(path, found["name"], found["revision"]):
            raise FileNotFoundError(
                f"there is no {path.name} among the models in {path.parent}; if a name on the Hugging Face hub is "
                f"meant, say {HUB}{model}"
            )
        return _from_hub(found["name"], found["revision"])
    raise FileNotFoundError(f"{model} is neither a directory nor a name on the Hugging Face hub (organisation/name)")


def _misspelt(path: Path, name: str, revision: str | None) -> bool:
    """Whether a directory is meant, not a name on the hub: others lie beside it, and no model came from there."""
    import huggingface_hub

    beside = path.parent.is_dir() and any((folder / "config.json").is_file() for folder in path.parent.iterdir())
    return beside and not isinstance(
        huggingface_hub.try_to_load_from_cache(name, "config.json", revision=revision), str
    )


def needed(names: list[str]) -> list[str]:
    """Of a repository's files, those that a model is loaded from: relative paths with /, at most one folder deep."""
    near = [name for name in names if name.count("/") <= 1 and not name.startswith((".", "onnx/", "openvino/"))]
    wanted = [name for name in near if name.endswith(SMALL)]
    for kind in WEIGHTS:
        if at_top := [name for name in near if name.endswith(kind) and "/" not in name]:
            whole = [name for name in at_top if name in ("model.safetensors", "flax_model.msgpack")]
            wanted += whole or at_top
            break
    return sorted(wanted + [name for name in near if name.endswith(WEIGHTS[0]) and "/" in name])


def weight_bytes(model: str) -> int:
    """Bytes of all files of weights of a model, as local_directory takes it, in whichever kind."""
    files = Path(local_directory(model)).rglob("*")
    return sum(path.stat().st_size for path in files if path.suffix in WEIGHTS)


@functools.lru_cache(maxsize=8)
def _from_hub(name: str, revision: str | None) -> str:
    import huggingface_hub
    from huggingface_hub.utils import logging as hub_logging

    hub_logging.disable_propagation()  # it prints what it logs, and so would the handler of a command
    shown = f"{name}@{revision}" if revision else name
    try:
        files = needed(huggingface_hub.HfApi().list_repo_files(name, revision=revision))
        return huggingface_hub.snapshot_download(name, revision=revision, allow_patterns=files)
    except Exception as error:  # the hub's errors, the network's, those of its HTTP library
        try:
            found = huggingface_hub.snapshot_download(name, revision=revision, local_files_only=True)
            log.warning(
                "%s could not be fetched from the Hugging Face hub (%s: %s): what an earlier download left in %s is "
                "used; where another program fetched only some of its files, results differ",
                shown,
                type(error).__name__,
                error,
                found,
            )
            return found
        except (OSError, ValueError):  # nothing of it was fetched before
            raise FileNotFoundError(
                f"{shown} could not be fetched from the Hugging Face hub ({type(error).__name__}: {error}), and is no "
                "directory here: download it elsewhere and name its directory"
            ) from error


@functools.lru_cache(maxsize=8)
def _copied(url: str) -> str:
    import fsspec

    with _fetching(url):
        system, root = fsspec.core.url_to_fs(url)
        root = root.rstrip("/")
        found = system.find(root, maxdepth=2, detail=True)
    names = needed([path[len(root) + 1 :] for path in found])
    if not names:
        raise FileNotFoundError(f"{url} holds no model")
    entries = [found[f"{root}/{name}"] for name in names]
    state = [(name, entry.get("size"), str(_version(entry))) for name, entry in zip(names, entries)]
    target = _cache() / hashlib.blake2b(repr((url, state)).encode(), digest_size=16).hexdigest()
    if target.is_dir():
        return str(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=target.parent))
    try:
        for name in names:
            (folder / name).parent.mkdir(exist_ok=True)
            with _fetching(f"{url.rstrip('/')}/{name}"):
                system.get_file(f"{root}/{name}", str(folder / name))
        try:
            folder.rename(target)
        except OSError:  # another process was first
            if not target.is_dir():
                raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return str(target)


@contextlib.contextmanager
def _fetching(url: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # a store's errors, the network's, those of a library that is not installed
        raise FileNotFoundError(
            f"the model's files at {url} could not be fetched ({type(error).__name__}: {error}): "
            "name a directory here, or a URL that can be read"
        ) from error


def _version(entry: dict) -> object:
    """What changes when a remote file does, as far as its file system tells."""
    marks = ("etag", "ETag", "md5Hash", "blob_id", "mtime", "updated", "LastModified", "modificationTime", "created")
    return next((entry[mark] for mark in marks if entry.get(mark)), None)


def _cache() -> Path:
    root = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(root) / "sluice" / "models"
