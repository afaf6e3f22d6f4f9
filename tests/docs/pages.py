"""The blocks of a page that a test runs, marked by comments that a reader does not see.

    <!-- run -->            the block below must succeed; `<!-- run: exit 1 -->`: its last command must end so
    <!-- run: bash -->      the same, as one script, whose variables and functions the next such block has too
    <!-- before: COMMAND -->   the shell does this first, silently: what breaks the thing that the page is about
    <!-- writes: FILE -->   the block below is added to a file
    <!-- starts: PORT -->   the block below goes on; what is after it waits until something listens there
    <!-- shows -->          the block below is in what the run before it printed, line by line; ... stands for anything

Commands of Sluice run in the test's process, others in bash, and so does all of a script.
"""

import contextlib
import io
import os
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from sluice.pipelines.main import main

MARK = re.compile(r"<!-- (run|before|writes|starts|shows)(?:: (.*?))? -->\n(?:```(\w*)\n(.*?)```)?", re.DOTALL)
ROOT = Path(__file__).parents[2]
# A corpus and a model of a size for tests; what a page says stays as it is.
SMALLER = (("--documents 2000", "--documents 90"),)
MODEL = ROOT / "tests" / "data" / "bert"
SHELL = re.compile(r"[|;&<>$`]")


@dataclass(frozen=True)
class Block:
    """kind: the mark; option: what its mark says besides; language of the fence, and its text."""

    kind: str
    option: str | None
    language: str
    text: str


def blocks(page: Path, instead: Mapping[str, str] = MappingProxyType({})) -> Iterator[Block]:
    """The marked blocks in order."""
    whole = page.read_text()
    for old, new in instead.items():
        whole = whole.replace(old, new)
    for kind, option, language, text in MARK.findall(whole):
        yield Block(kind, option or None, language, text)


def play(
    page: Path, instead: Mapping[str, str] = MappingProxyType({}), *, start: Callable[[str, int], None] | None = None
) -> int:
    """Run a page in the current folder; returns how many blocks ran. Raises AssertionError naming the block.

    instead: {what the page says: what is put in its place}, for names that are not this machine's; start: begins a
    command that goes on, and returns when its port answers.
    """
    printed, ran = "", 0
    for block in blocks(page, instead):
        if block.kind == "before":
            assert block.option, page
            subprocess.run(["bash", "-euc", block.option], check=True, timeout=60)
        elif block.kind == "writes":
            assert block.option, page
            with open(block.option, "a") as file:
                file.write(block.text)
        elif block.kind == "starts":
            assert block.option and start, page
            start(block.text, int(block.option))
            ran += 1
        elif block.kind == "shows":
            for line in filter(None, block.text.splitlines()):
                pattern = ".*".join(re.escape(piece) for piece in line.strip().split("..."))
                assert re.search(pattern, printed), f"{page.name}: not printed: {line}\n{printed}"
        elif block.option == "bash":
            printed = run_script(block.text)
            ran += 1
        else:
            printed, code = run_python(block.text) if block.language == "python" else run_shell(block.text)
            expected = int((block.option or "exit 0").removeprefix("exit "))
            assert code == expected, f"{page.name}: exit {code}, not {expected}\n{block.text}\n{printed}"
            ran += 1
    return ran


def run_python(code: str) -> tuple[str, int]:
    Path("example.py").write_text(code)
    with printed() as out:
        runpy.run_path("example.py")
    return out.getvalue(), 0


def run_shell(text: str) -> tuple[str, int]:
    """Everything printed, on both streams, and the exit code of the last command; the others must end with 0."""
    whole, code = "", 0
    for line in shell_lines(text):
        assert code == 0, f"exit {code} before: {line}\n{whole}"
        words = shlex.split(line, comments=True)
        if words[0] == "sluice" and not SHELL.search(line):
            with printed() as out:
                code = main(with_small_model(words[1:]))
            whole += out.getvalue()
        else:
            path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
            done = subprocess.run(
                ["bash", "-uc", line], capture_output=True, text=True, timeout=120, env={**os.environ, "PATH": path}
            )
            whole, code = whole + done.stdout + done.stderr, done.returncode
    return whole, code


def run_script(text: str) -> str:
    """Everything a script printed, on both streams. Raises AssertionError with it where the script fails."""
    state = Path(".shell").resolve()
    state.touch()
    script = f"set -euo pipefail -o allexport\n. {state}\n{shorter(text)}\n{{ export -p; declare -f; }} > {state}\n"
    done = subprocess.run(
        ["bash", "-c", script],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, f"exit {done.returncode}\n{text}\n{done.stdout}"
    return done.stdout


def shorter(text: str) -> str:
    """The same, over a corpus of a size for tests."""
    for long, short in SMALLER:
        text = text.replace(long, short)
    return text


def shell_lines(text: str) -> list[str]:
    """The commands of a block, continuations joined."""
    lines = shorter(text).replace("\\\n", " ").splitlines()
    return [line for line in lines if line.strip() and not line.lstrip().startswith("#")]


def with_small_model(words: list[str]) -> list[str]:
    """A curation that would load the default model takes a tiny one: not by a recipe file, nor at random."""
    named = {"--vector", "--model", "random"} & set(words) or any(word.endswith(".yaml") for word in words)
    embeds = words[0] == "curate" and not named
    return [*words, "--model", str(MODEL)] if embeds else words


@contextlib.contextmanager
def printed() -> Iterator[io.StringIO]:
    """What is printed inside, on both streams."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        yield out
