"""What a curation can be made of: every preset and every step, with its paper and its options.

sluice recipes            all of them, three lines each; --json for programs
sluice recipes density    one preset or step
sluice recipes --stages d4    the stages of a preset or a recipe file, one a line
"""

import argparse
import difflib
import inspect
from decimal import Decimal
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from sluice.pipelines.base.clustered import Clustered
from sluice.pipelines.base.step import Step
from sluice.pipelines.recipe.options import build_recipe
from sluice.pipelines.recipe.presets import PRESETS, steps_of
from sluice.pipelines.run.layout import stage_names
from sluice.pipelines.steps import find_steps
from sluice.pipelines.terminal.printing import emit

WIDTH = 14


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", metavar="NAME", help="a preset or a step; default: all")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--stages", metavar="RECIPE", help="print the stages of a preset or a YAML file, in order")
    parser.add_argument(
        "--repeats",
        type=int,
        metavar="N",
        help="with --stages: name at most N splits of semdedup's clusters and N rounds of minhash, which only some "
        "runs have (default: all there can be)",
    )


def run(args: argparse.Namespace) -> int:
    if args.stages is not None:
        if args.name is not None:
            raise ValueError(f"give {args.name} or --stages {args.stages}, not both")
        # A recipe has the same stages whatever its input is.
        names = stage_names(build_recipe(recipe=args.stages, inputs=("input",)), repeats=args.repeats)
        emit({"stages": names}, Text("\n".join(names)), as_json=args.json)
        return 0
    if args.repeats is not None:
        raise ValueError("--repeats goes with --stages")
    found = describe(args.name)
    emit(found, render(found), as_json=args.json)
    return 0


def describe(name: str | None = None) -> dict[str, Any]:
    """{presets, steps, shared}: each preset's text and steps, each step's text, needs and options, from its class.

    name: only what is called so. Raises ValueError for a name that is neither, with those near to it.
    """
    found: dict[str, Any] = {
        "presets": {preset: _preset(preset) for preset in PRESETS if name in (None, preset)},
        "steps": {step: _step(kind) for step, kind in find_steps().items() if name in (None, step)},
    }
    if not found["presets"] and not found["steps"]:
        known = [*PRESETS, *find_steps()]
        near = difflib.get_close_matches(str(name), known, n=3) or known
        raise ValueError(f"there is no preset or step {name!r}; there is {', '.join(dict.fromkeys(near))}")
    kinds = {"every step": Step, "steps over clusters": Clustered}
    found["shared"] = {
        label: {"text": _paragraph(inspect.getdoc(kind) or ""), "options": _options(kind, Step)}
        for label, kind in kinds.items()
    }
    found["shared"]["every step"]["options"] = _options(Step, None)
    return found


def _preset(name: str) -> dict[str, Any]:
    steps = steps_of(name, target={}, text=True)
    return {
        "text": PRESETS[name],
        "steps": [_shown_step(step) for step in steps],
        "command": f"sluice curate --input DATA --run RUN --recipe {name} --keep {steps[-1]['cut']['ratio']}",
    }


def _shown_step(step: dict[str, Any]) -> str:
    options = {name: value for name, value in step.items() if name not in ("step", "cut")}
    given = [f"{name} {value}" for name, value in (options | step.get("cut", {})).items()]
    return step["step"] + (f" ({', '.join(given)})" if given else "")


def _step(kind: type[Step]) -> dict[str, Any]:
    first, _, rest = (inspect.getdoc(kind) or "").partition("\n\n")
    clustered = issubclass(kind, Clustered)
    needs = {"vectors": kind.needs_vectors, "texts": kind.needs_texts or kind.needs_text_hashes}
    return {
        "text": _paragraph(first),
        "about_options": _paragraph(rest) or None,
        # Some steps need vectors or texts only with some options: their classes then have a property.
        "needs": [name if needed is True else f"{name} with some options" for name, needed in needs.items() if needed],
        "over_clusters": clustered,
        "options": _options(kind, Clustered if clustered else Step),
    }


def _options(kind: type[Step], base: type[Step] | None) -> dict[str, Any]:
    """Option and default; "required" where there is none. What the base has too, with the same default, is left out."""
    shared = {} if base is None or base is kind else base.model_fields
    found: dict[str, Any] = {}
    for name, field in kind.model_fields.items():
        if name == "step" or (name in shared and shared[name].default == field.default):
            continue
        default = "required" if field.is_required() else field.default
        found[name] = str(default) if isinstance(default, Decimal) else default
    return found


def _paragraph(text: str) -> str:
    return " ".join(text.split())


# A page ---------------------------------------------------------------------------------------------------------


def render(found: dict[str, Any]) -> RenderableType:
    """Three lines for each preset and step."""
    lines: list[Text] = []
    if found["presets"]:
        lines.append(Text("Presets (--recipe NAME)", style="bold"))
    for name, preset in found["presets"].items():
        lines += _entry(name, preset["text"], "steps: " + ", ".join(preset["steps"]), preset["command"])
    if found["steps"]:
        lines.append(Text("\nSteps (in a recipe file: - step: NAME)", style="bold"))
    for name, step in found["steps"].items():
        needs = " and ".join(step["needs"]) or "no more than ids and columns"
        over = ", and clusters them" if step["over_clusters"] and "vectors" in step["needs"] else ""
        about = f". {step['about_options']}" if step["about_options"] else ""
        lines += _entry(name, step["text"], f"needs {needs}{over}", f"options: {_listed(step['options'])}{about}")
    lines.append(Text("\nOptions that steps share", style="bold"))
    for name, shared in found["shared"].items():
        lines.append(Text(f"{name}: {_listed(shared['options'])}"))
    return Group(*lines)


def _entry(name: str, *lines: str) -> list[Text]:
    heads = [f"{name:<{WIDTH}}", *[" " * WIDTH] * 2]
    return [Text.assemble((head, "bold"), line) for head, line in zip(heads, lines, strict=True)]


def _listed(options: dict[str, Any]) -> str:
    return ", ".join(f"{name} {_shown(value)}" for name, value in options.items()) or "only the shared ones"


def _shown(value: Any) -> str:
    if value == "required":
        return "(required)"
    if isinstance(value, tuple | list):
        return "[" + ", ".join(map(str, value)) + "]"
    return "none" if value is None else str(value)
