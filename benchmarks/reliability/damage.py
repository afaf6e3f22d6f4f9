"""Every kind of file that a run leaves, damaged in every way: no damage may become another decision.

A file is damaged while the stages after its own are still to come, so that they read it. What happens is one of

    same           the damage was mended on the way, or nothing read the file; the results are the reference's
    named          an error that names the file; `sluice check --repair` and the same command then give the reference's
    checked        no stage reads the file (the curated corpus): `sluice check` names it, and the cure helps as above
    stuck          an error, and the cure does not help, or the file is not named
    different      exit code 0 and other results: what must never happen
"""

import itertools
import random
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks import measure
from benchmarks.reliability.runs import Reference, digest

VERDICTS = ("same", "named", "checked", "stuck", "different")
ZEROS = 4096


def _flip(path: Path, rng: random.Random) -> None:
    data = bytearray(path.read_bytes())
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


def _cut(path: Path, rng: random.Random) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) - min(100, len(data) // 2)])


def _zeros(path: Path, rng: random.Random) -> None:
    data = path.read_bytes()
    start = rng.randrange(max(len(data) - ZEROS, 1))
    path.write_bytes(data[:start] + bytes(len(data[start : start + ZEROS])) + data[start + ZEROS :])


def _remove(path: Path, rng: random.Random) -> None:
    path.unlink()


DAMAGES: dict[str, Callable[[Path, random.Random], None]] = {
    "a flipped bit": _flip,
    "the end cut off": _cut,
    "4 KB of zeros": _zeros,
    "removed": _remove,
}


def damage(reference: Reference, rng: random.Random, *, ways: int, finished: bool) -> str:
    """A row for each kind of file. finished: whether the file's stage has its manifest when the damage is done.

    ways: how many of DAMAGES each kind of file gets; fewer than all are taken in turns.
    """
    counts: dict[str, Counter[str]] = {}
    turns = itertools.cycle(DAMAGES.values())
    for stage, kind, files in _kinds(reference, finished):
        for spoil in itertools.islice(turns, ways):
            verdict = _try(reference, stage, rng.choice(files), spoil, rng, finished)
            counts.setdefault(kind, Counter())[verdict] += 1
    rows = [(kind, found.total(), *(found[verdict] for verdict in VERDICTS)) for kind, found in sorted(counts.items())]
    total = sum((found for found in counts.values()), Counter())
    rows.append(("all", total.total(), *(total[verdict] for verdict in VERDICTS)))
    return measure.table(("file", "tries", *VERDICTS), rows)


def _kinds(reference: Reference, finished: bool) -> Iterator[tuple[str, str, list[Path]]]:
    """(stage's folder, kind, files of that kind relative to the run) for all but what only the report reads."""
    for stage in reference.stages():
        kinds: dict[str, list[Path]] = {}
        for path in sorted((reference.run / stage).rglob("*")):
            inner = path.relative_to(reference.run / stage)
            if path.is_dir() or (path.name == "manifest.json" and not finished):
                continue
            # A step's stages lie beside each other; only the corpus has its parts in a folder inside.
            if path.name == "manifest.json" or not (inner.parts[0] in ("scores", "keep") and len(inner.parts) > 1):
                kinds.setdefault(kind_of(stage, inner), []).append(path.relative_to(reference.run))
        yield from ((stage, kind, files) for kind, files in kinds.items())


def kind_of(stage: str, inner: Path) -> str:
    """steps/02-semdedup/clusters, part-00000-0123456789.records -> semdedup/clusters/part.records."""
    folder = re.sub(r"^steps/\d+-", "", stage)
    return f"{folder}/{re.sub(r'(-[0-9]+)?-[0-9a-f]{10}.*?(?=[.]|$)', '', inner.as_posix())}"


def _try(
    reference: Reference,
    stage: str,
    file: Path,
    spoil: Callable[[Path, random.Random], None],
    rng: random.Random,
    finished: bool,
) -> str:
    run = reference.copy("damaged")
    stages = reference.stages()
    for later in stages[stages.index(stage) + 1 :]:
        shutil.rmtree(run / later, ignore_errors=True)
    (run / "report.json").unlink()
    if not finished:
        (run / stage / "manifest.json").unlink(missing_ok=True)
    spoil(run / file, rng)
    command = reference.curate(run)
    ended = reference.launcher.run(command)
    if ended.code == 0:
        if digest(run) == reference.digest:
            return "same"
        return "checked" if _is_mended(reference, run, file) else "different"
    if file.name.split(".")[0] not in ended.message or "Traceback" in ended.output:
        return "stuck"
    return "named" if _is_mended(reference, run, file) else "stuck"


def _is_mended(reference: Reference, run: Path, file: Path) -> bool:
    """Whether `sluice check --repair` names the file, and the same command then ends in the reference's results."""
    repaired = reference.launcher.run(["check", str(run), "--repair"])
    healed = reference.launcher.run(reference.curate(run))
    return str(file) in repaired.output and healed.code == 0 and digest(run) == reference.digest
