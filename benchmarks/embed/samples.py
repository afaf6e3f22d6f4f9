"""Real texts to embed: web documents where that corpus is at hand, and the sample corpus."""

import gzip
import itertools
import json
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from benchmarks.measure import ROOT, SHARED

WEB = SHARED / "web"
SHORTEST = 60  # characters of a paragraph


def documents(count: int) -> list[str]:
    """The first `count` web documents, or those of the sample corpus where that is absent."""
    if parts := sorted(WEB.glob("*.jsonl.gz")):
        lines = itertools.chain.from_iterable(gzip.open(part, "rt", encoding="utf-8") for part in parts)
        return [json.loads(line)["text"] for line in itertools.islice(lines, count)]
    return sample(count)


def sample(limit: int | None = None) -> list[str]:
    """Texts of the sample corpus, made where it is not there."""
    from sluice.pipelines.commands.sample_corpus.command import write_sample_corpus

    with tempfile.TemporaryDirectory() as folder:
        found = ROOT / "sample"
        if not found.is_dir():
            found = Path(folder) / "sample"
            write_sample_corpus(str(found), limit=max(limit or 0, 2000))
        lines = itertools.chain.from_iterable(path.open(encoding="utf-8") for path in sorted(found.glob("*.jsonl")))
        return [json.loads(line)["text"] for line in itertools.islice(lines, limit)]


def real_texts() -> Iterator[str]:
    """Web documents where that corpus is at hand, then the sample corpus."""
    for path in sorted(WEB.glob("*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            yield from (json.loads(line)["text"] for line in lines)
    yield from sample()


def of_words(count: int, words: int) -> list[str]:
    """The first `count` pieces of `words` words of the real texts."""

    def pieces() -> Iterator[str]:
        for text in real_texts():
            split = text.split(" ")
            yield from (" ".join(split[at : at + words]) for at in range(0, len(split) - words + 1, words))

    return list(itertools.islice(pieces(), count))


def paragraphs_of(texts: Iterable[str]) -> list[str]:
    """The different paragraphs of texts, of SHORTEST characters at least, in order."""
    stripped = (paragraph.strip() for text in texts for paragraph in text.split("\n"))
    return list(dict.fromkeys(paragraph for paragraph in stripped if len(paragraph) >= SHORTEST))


def short_texts(count: int, paragraphs: Sequence[str]) -> Iterator[str]:
    """`count` texts: the paragraphs, and when there are no more, the same again turned by some words."""
    given = 0
    for turn in itertools.count():
        for paragraph in paragraphs:
            if given == count:
                return
            if turn:
                words = paragraph.split()
                at = turn % len(words)
                paragraph = f"{' '.join(words[at:] + words[:at])} {turn}"
            yield paragraph
            given += 1
