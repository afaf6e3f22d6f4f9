"""The rules of text quality that need a parser (arXiv 2405.01582), by spaCy, which imported only when one is asked for.

    parser = SpacyParser("en_core_web_sm")
    parser(["The dog ate a bone.", "Home > News"])  # bool [2, 4], in the order of PARSER_RULES

The paper's text complexity is that of Radenovic et al. 2023 (arXiv 2301.02280): an object with at least one edge.
"""

import functools
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

PREFIX = "spacy:"
# Characters of a line that are parsed: a parse takes memory in proportion, and nothing is said by the rest.
LONGEST_LINE = 2000
BATCH = 64
# Components that no rule looks at.
NOT_NEEDED = ("ner", "lemmatizer", "senter", "textcat", "textcat_multilabel", "entity_linker", "entity_ruler")
# Direct, indirect and prepositional, in the labels of ClearNLP and of Universal Dependencies.
OBJECTS = frozenset(("dobj", "obj", "iobj", "dative", "pobj"))
NOUNS = frozenset(("NOUN", "PROPN"))
# Tokens of a spaCy Doc: whatever has pos_, dep_ and children.
Tokens = Sequence[Any]


def has_object(line: Tokens) -> bool:
    return any(token.dep_ in OBJECTS for token in line)


def has_noun(line: Tokens) -> bool:
    return any(token.pos_ in NOUNS for token in line)


def has_determiner(line: Tokens) -> bool:
    return any(token.pos_ == "DET" for token in line)


def text_complexity_c1(line: Tokens) -> bool:
    """Something hangs on an object: a determiner, an adjective, a clause."""
    return any(child.dep_ != "punct" for token in line if token.dep_ in OBJECTS for child in token.children)


PARSER_RULES: dict[str, Callable[[Tokens], bool]] = {
    "has_object": has_object,
    "has_noun": has_noun,
    "has_determiner": has_determiner,
    "text_complexity_c1": text_complexity_c1,
}


@dataclass(frozen=True)
class SpacyParser:
    """model: an installed spaCy model's name or a directory. It travels to the workers as its name, as it is small."""

    model: str

    def __call__(self, lines: Sequence[str]) -> np.ndarray:
        """bool [lines, rules]: which rules of PARSER_RULES each line satisfies.

        The lines are parsed in one call, so the answer depends on them alone. Raises as `check` does.
        """
        parse, lock = _loaded(self.model)
        found = np.zeros((len(lines), len(PARSER_RULES)), bool)
        # spaCy does not promise that threads may share a pipeline.
        with lock:
            heads = (line[:LONGEST_LINE] for line in lines)
            for number, document in enumerate(parse.pipe(heads, batch_size=BATCH)):
                found[number] = [rule(document) for rule in PARSER_RULES.values()]
        return found

    def describe(self) -> dict[str, str]:
        """What decides the parses: names and versions. Raises as `check` does."""
        import spacy

        meta = _loaded(self.model)[0].meta
        return {"model": f"{meta['lang']}_{meta['name']}", "version": meta["version"], "spacy": spacy.__version__}

    def check(self) -> None:
        """Raises ValueError, saying what to install, without spaCy or the model, and for one that parses nothing."""
        _loaded(self.model)


@functools.cache
def _loaded(model: str) -> tuple[Any, threading.Lock]:
    try:
        import spacy
    except ImportError as error:
        raise ValueError(
            f"parser {PREFIX}{model} needs spaCy: pip install 'spacy>=3.7,<4' && python -m spacy download {model}"
        ) from error
    try:
        parse = spacy.load(model, exclude=list(NOT_NEEDED))
    except OSError as error:
        raise ValueError(
            f"there is no spaCy model {model!r}, installed or as a directory: python -m spacy download {model}"
        ) from error
    probe = parse("The dog ate a bone.")
    missing = [kind for kind in ("DEP", "POS") if not probe.has_annotation(kind)]
    if missing:
        raise ValueError(f"the spaCy model {model!r} has no parser and tagger: it gives no {' and no '.join(missing)}")
    return parse, threading.Lock()
