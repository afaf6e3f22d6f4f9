"""Damaged files: what they are called, and what mends them."""

import re

_STAGE = re.compile(r"/(?:steps/[^/]+/[^/]+|corpus/_parts|[^/]+)$")


class ArtifactError(RuntimeError):
    """An artifact is missing, unfinished, made with another configuration, or damaged."""


class Damaged(ArtifactError):
    """A file does not hold what was written to it, or is gone. problem: what is wrong with it, without the cure."""

    def __init__(self, message: str, problem: str = ""):
        super().__init__(message, problem)
        self.problem = problem

    def __str__(self) -> str:
        return self.args[0]


def run_of(folder: str) -> str:
    """The run directory of a stage's folder: `/run/steps/02-semdedup/keep` -> `/run`."""
    return _STAGE.sub("", folder.rstrip("/"))


def damaged(path: str, problem: str, *, folder: str) -> Damaged:
    """The error for a file of the stage in `folder`: one line with the file, what is wrong with it and the cure."""
    cure = f"`sluice check {run_of(folder)} --repair` removes what must be made again, the next launch makes it"
    return Damaged(f"{path} is damaged: {problem}; {cure}", problem)
