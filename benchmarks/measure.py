"""Runs a function of a benchmark in an interpreter of its own, so that its time and its peak memory are its own.

    result, peak = run("d4", "sluice_d4", path="/tmp/corpus", ...)
    result, peak = run("scale.stages", "next_stage", path="/tmp/corpus", ...)

Arguments and result are JSON.
"""

import importlib
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
# Corpora that are data of their own, beside the repository.
SHARED = ROOT.parent / "shared" / "data"


def run(module: str, function: str, **arguments: Any) -> tuple[Any, float]:
    """(what module.function(**arguments) returned, its process's peak memory in MB).

    `module` is named below benchmarks/. Raises RuntimeError with the end of its output when the process fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "answer.json"
        command = [sys.executable, "-m", "benchmarks.measure", module, function, json.dumps(arguments), str(answer)]
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        environment = os.environ | {"PYTHONPATH": path}
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)
        if done.returncode or not answer.exists():
            raise RuntimeError(f"{module}.{function} ended with {done.returncode}:\n{done.stdout[-4000:]}")
        found = json.loads(answer.read_text())
        return found["result"], found["peak"]


def peak_memory() -> float:
    """The largest resident size of this process so far, in MB, or of its largest child if that is larger."""
    try:
        # ru_maxrss would count what the parent held when it forked.
        lines = Path("/proc/self/status").read_text().splitlines()
        own = next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        own = _megabytes(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    return max(own, _megabytes(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))


def _megabytes(maxrss: int) -> float:
    return maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A Markdown table with aligned columns: text left, everything else right."""
    cells = [[str(value) for value in row] for row in [header, *rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    right = [all(_is_number(row[column]) for row in cells[1:]) for column in range(len(header))]

    def line(row: Sequence[str]) -> str:
        return "| " + " | ".join(c.rjust(w) if r else c.ljust(w) for c, w, r in zip(row, widths, right)) + " |"

    rule = "|" + "|".join("-" * (width + 1) + (":" if r else "-") for width, r in zip(widths, right)) + "|"
    return "\n".join([line(cells[0]), rule, *map(line, cells[1:])])


def _is_number(cell: str) -> bool:
    return re.fullmatch(r"-|[-+]?[\d,.]+( ?(%|MB|GB|MB/s|s))?|", cell) is not None


def fill(page: Path | None, **sections: str | None) -> None:
    """Print sections, or put each between its markers in a page. Raises ValueError where a page lacks one."""
    for name, text in sections.items():
        if text is None:
            continue
        if page is None:
            print(text)
            continue
        start, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
        whole = page.read_text()
        if whole.count(start) != 1 or whole.count(end) != 1:
            raise ValueError(f"{page} needs the lines {start} and {end}, once each")
        before, _, rest = whole.partition(start)
        page.write_text(f"{before}{start}\n{text.strip()}\n{end}{rest.partition(end)[2]}")


def machine() -> str:
    """One line on what this was measured with."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        name = "unknown processor"
    load = os.getloadavg()[0]
    return f"{name}, {os.cpu_count()} cores, load {load:.1f} at the start, Python {sys.version.split()[0]}"


if __name__ == "__main__":
    _module, _function, _arguments, _answer = sys.argv[1:]
    _result = getattr(importlib.import_module(f"benchmarks.{_module}"), _function)(**json.loads(_arguments))
    Path(_answer).write_text(json.dumps({"result": _result, "peak": peak_memory()}))
