"""How a recipe differs from the one before, told for people: steps by their names, whatever place they have now."""

from collections import Counter
from typing import Any


def find_changes(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """One line for each option that has another value, and for each step that came, went or moved.

    >>> find_changes({"seed": 1, "steps": [{"step": "d"}]}, {"seed": 2, "steps": [{"step": "m"}, {"step": "d"}]})
    ['seed: 1 -> 2', 'steps: m was added before d']
    """
    options, others = _flat(_options(before)), _flat(_options(now))
    lines = _differences(options, others)
    steps, names = _named(before), _named(now)
    return lines + _moves(list(steps), list(names)) + _differences(_shared(steps, names), _shared(names, steps))


def _options(recipe: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in recipe.items() if name != "steps"}


def _named(recipe: dict[str, Any]) -> dict[str, Any]:
    """The steps by name; the second of one name is `name (2)`."""
    found: dict[str, Any] = {}
    counts: Counter[str] = Counter()
    steps = recipe.get("steps")
    for step in steps if isinstance(steps, list) else []:
        name = str(step.get("step")) if isinstance(step, dict) else str(step)
        counts[name] += 1
        found[name if counts[name] == 1 else f"{name} ({counts[name]})"] = step
    return found


def _shared(steps: dict[str, Any], others: dict[str, Any]) -> dict[str, Any]:
    return _flat({f"step {name}": step for name, step in steps.items() if name in others})


def _moves(before: list[str], now: list[str]) -> list[str]:
    lines = [f"steps: {name} was removed" for name in before if name not in now]
    for at, name in enumerate(now):
        if name not in before:
            place = f"before {now[at + 1]}" if at + 1 < len(now) else "at the end"
            lines.append(f"steps: {name} was added {place}")
    stayed, order = [name for name in before if name in now], [name for name in now if name in before]
    if stayed != order:
        lines.append(f"steps: in another order: {', '.join(stayed)} -> {', '.join(order)}")
    return lines


def _differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    names = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    return [f"{name}: {before.get(name)} -> {now.get(name)}" for name in names]


def _flat(value: Any, name: str = "") -> dict[str, Any]:
    """Nested mappings and lists -> {dotted name: plain value}."""
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value, start=1)
        return {key: leaf for part, item in items for key, leaf in _flat(item, f"{name}.{part}".strip(".")).items()}
    return {name: value}
