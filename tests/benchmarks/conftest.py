"""Benchmarks run in this process here: a child process for each function would load all libraries again."""

import importlib
import json
import os
import runpy
import sys
from collections.abc import Callable
from typing import Any

import pytest

from benchmarks import measure


def here(module: str, function: str, **arguments: Any) -> tuple[Any, float]:
    """As measure.run, JSON on the way in and out, without the process."""
    cores = os.sched_getaffinity(0)
    try:
        result = getattr(importlib.import_module(f"benchmarks.{module}"), function)(**json.loads(json.dumps(arguments)))
    finally:
        # The speed of token tables is that of one core.
        os.sched_setaffinity(0, cores)
    return json.loads(json.dumps(result)), 100.0


@pytest.fixture
def command(monkeypatch, capsys) -> Callable[..., str]:
    """Runs `python -m benchmarks.NAME ARGUMENTS` and returns what it printed."""
    monkeypatch.setattr(measure, "run", here)

    def run(name: str, *arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", [name, *arguments])
        runpy.run_module(f"benchmarks.{name}", run_name="__main__")
        return capsys.readouterr().out

    return run
