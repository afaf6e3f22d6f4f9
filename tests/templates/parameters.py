"""What Dataflow checks a launch against: a template's parameters."""

import re
from typing import Any


def matches(parameter: dict[str, Any], value: str) -> bool:
    """Whether a value passes the checks that Dataflow makes before it starts a launcher."""
    return all(re.fullmatch(regex, value) for regex in parameter.get("regexes", []))


def faults(parameters: list[dict[str, Any]], values: dict[str, str]) -> list[str]:
    """What Dataflow would refuse: a parameter that is missing, one that it does not know, a value that does not fit."""
    known = {one["name"]: one for one in parameters}
    missing = [name for name, one in known.items() if not one["isOptional"] and name not in values]
    wrong = [name for name, value in values.items() if name not in known or not matches(known[name], value)]
    return missing + wrong
