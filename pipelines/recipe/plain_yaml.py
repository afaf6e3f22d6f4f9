"""YAML that describes no more than it says: files of people, of bounded size and depth, without references."""

import yaml

MOST_BYTES = 256 << 10
# What a run directory holds may name thousands of inputs.
MOST_RECIPE_BYTES = 4 << 20
DEEPEST = 50


def load(data: bytes, *, most: int = MOST_BYTES) -> object:
    """The value of a YAML text.

    Raises yaml.YAMLError for anything else, and ValueError for a text that is too large, too deep (the parser takes
    quadratic time for that) or has references, with which a small file can describe a huge one.
    """
    if len(data) > most:
        raise ValueError(f"it has {len(data):,} bytes, at most {most:,} are read")
    text = data.decode()
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise ValueError("anchors and references are not taken")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise ValueError(f"lists and mappings are nested more than {DEEPEST} deep")
    return yaml.safe_load(text)
