"""What lost too much, in words: a warning before the corpus is written, or a refusal to write it."""

from typing import Any

from sluice.pipelines.recipe.recipe import Losses
from sluice.pipelines.terminal.printing import counted, number, printable

SHOWN = 5


class LostEverything(ValueError):
    """A source or a cluster lost nearly everything, and the recipe says that this is too much."""


def loss_lines(totals: dict[str, Any]) -> tuple[list[str], list[str]]:
    """(about sources, about clusters): one line for each kind of loss in the totals of decisions/, none where none."""
    sources = []
    found = totals.get("lost_sources")
    if found:
        sources.append(f"{_counted(found, 'source')}: {_named(found['largest'])}.")
    clusters = [
        f"{step}: {_counted(one, 'cluster')}: {_named(one['largest'])}."
        for step, one in sorted(totals.get("lost_clusters", {}).items())
    ]
    return sources, clusters


def _counted(found: dict[str, Any], kind: str) -> str:
    left = f"{number(found['kept'])} of them" if found["kept"] else "nothing"
    return f"{counted(found['groups'], kind)} of {number(found['documents'])} documents kept {left}"


def _named(largest: list[list[Any]]) -> str:
    names = [f"{printable(name, 60)} ({number(kept)} of {number(size)})" for name, size, kept in largest[:SHOWN]]
    return ", ".join(names) + (", ..." if len(largest) > SHOWN else "")


def check_losses(run: str, totals: dict[str, Any], options: Losses) -> list[str]:
    """The warnings about a run's decisions, from their totals. Raises LostEverything for what the recipe refuses."""
    warnings: list[str] = []
    for lines, action, name in zip(loss_lines(totals), (options.sources, options.clusters), ("sources", "clusters")):
        if lines and action == "refuse":
            raise LostEverything(
                f"{run}: {' '.join(lines)} The recipe refuses that (losses: {{{name}: refuse}}); no corpus is written, "
                "and the decisions are there to look at"
            )
        warnings += lines
    return warnings
