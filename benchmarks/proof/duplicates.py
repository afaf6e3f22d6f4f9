"""Part of benchmarks/proof: planted duplicates found by exact, minhash, semdedup and their sequence."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmarks import measure
from benchmarks.proof.quality import Found, judge, read_lines
from benchmarks.proof.runs import CONTROLS, Compared, Corpus, Outcome, Steps, Vectors, chosen

EXACT = {"step": "exact"}
# Each preset as its project uses it, and verified near the similarity at which half of all pairs share a band.
MINHASH: dict[str, Steps] = {
    "minhash datatrove": [{"step": "minhash"}],
    "minhash datatrove, verified 0.7": [{"step": "minhash", "verify": "0.7"}],
    "minhash nemo": [{"step": "minhash", "preset": "nemo"}],
    "minhash nemo, verified 0.8": [{"step": "minhash", "preset": "nemo", "verify": "0.8"}],
    "minhash slimpajama": [{"step": "minhash", "preset": "slimpajama"}],
    "minhash slimpajama, verified 0.8": [{"step": "minhash", "preset": "slimpajama", "verify": "0.8"}],
}
THRESHOLDS = ("0.95", "0.9", "0.85", "0.8", "0.75")
BETWEEN = ("0.97", "0.96", "0.94", "0.93", "0.92", "0.875")
# What bands and shingles of our own reach: more bands of fewer rows than any preset, all verified.
LOOSE = {
    f"minhash, {bands} x {rows}, {width} words, verified {verify}": [
        {"step": "minhash", "bands": bands, "rows": rows, "width": width, "verify": verify}
    ]
    for bands, rows, width, verify in (
        (32, 4, 5, "0.5"),
        (64, 2, 5, "0.3"),
        (64, 2, 3, "0.5"),
        (64, 2, 3, "0.4"),
        (64, 2, 3, "0.3"),
        (64, 2, 2, "0.5"),
        (64, 2, 2, "0.4"),
        (64, 2, 2, "0.3"),
        (64, 3, 1, "0.6"),
        (64, 3, 1, "0.5"),
    )
}
LEVELS = (0.995, 0.99, 0.98, 0.97, 0.96, 0.95)


def presets(quick: bool) -> dict[str, Steps]:
    return dict(list(MINHASH.items())[:1]) if quick else MINHASH


def semdedup(threshold: str) -> dict[str, Any]:
    return {"step": "semdedup", "cut": {"threshold": threshold}}


def alone(threshold: str) -> Steps:
    return [semdedup(threshold)]


def sequence(threshold: str) -> Steps:
    return [EXACT, {"step": "minhash"}, semdedup(threshold)]


def recipes(thresholds: Sequence[str], *, quick: bool) -> dict[str, Steps]:
    if quick:
        thresholds = ("0.9",)
    found: dict[str, Steps] = {"exact": [EXACT], **presets(quick)}
    found |= {f"semdedup {threshold}": alone(threshold) for threshold in thresholds}
    return found | {f"exact, minhash, semdedup {threshold}": sequence(threshold) for threshold in thresholds}


HEADER = ["", "removed", "tokens removed", "precision", "recall", "F1"]
HEADER += [f"{control}: {name}" for control in CONTROLS for name in ("precision", "recall", "F1")]


def cells(corpus: Corpus, compared: Compared, judged: Iterable[Found]) -> list[str]:
    """What HEADER names but the first; judged: of the run and of both controls."""
    own, *controls = judged
    gone = 1 - corpus.total(compared.outcome.kept) / corpus.total(corpus.texts)
    found = [f"{own.removed:,}", f"{gone:.1%}", *own.cells()[1:]]
    return [*found, *(cell for control in controls for cell in control.cells()[1:])]


# planted --------------------------------------------------------------------------------------------------------


@dataclass
class Truth:
    """What is known about planted documents: groups, and labelled pairs by kind."""

    lines: list[dict[str, Any]]

    @cached_property
    def groups(self) -> dict[str, str]:
        return {one["id"]: one["group"] for one in self.lines}

    @cached_property
    def pairs(self) -> dict[str, list[tuple[str, str]]]:
        """(original, copy) of groups of two by kind, where it is plain which duplicate was found."""
        size, found = Counter(self.groups.values()), defaultdict(list)
        for one in self.lines:
            if one["of"] != one["id"] and size[one["group"]] == 2:
                found[one["kind"]].append((one["of"], one["id"]))
        return dict(sorted(found.items(), key=lambda item: (item[0] == "paraphrase", item[0])))

    @cached_property
    def different(self) -> list[tuple[str, str]]:
        """Pairs that people judged not to say the same, alike as they look."""
        return [(one["looks_like"], one["id"]) for one in self.lines if "looks_like" in one]

    def share(self, kind: str, kept: frozenset[str]) -> float:
        return found_share(self.pairs[kind], kept)

    def paraphrases(self, kept: frozenset[str]) -> Found:
        """Labelled pairs as an answer: found pairs, those of them that are paraphrases, all paraphrases."""
        right = sum(a not in kept or b not in kept for a, b in self.pairs.get("paraphrase", ()))
        wrong = sum(a not in kept or b not in kept for a, b in self.different)
        return Found(right + wrong, right, len(self.pairs.get("paraphrase", ())))


def found_share(pairs: Sequence[tuple[str, str]], kept: frozenset[str]) -> float:
    """The share of pairs of which not both are kept."""
    return sum(a not in kept or b not in kept for a, b in pairs) / max(len(pairs), 1)


def read_planted(shared: Path, share: float) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """(documents, what is known of each) of a share of the groups; what looks alike is in together."""
    lines = read_lines(shared / "planted.truth.jsonl.gz")
    group = {one["id"]: one["group"] for one in lines}
    same = {one["group"]: group[one["looks_like"]] for one in lines if "looks_like" in one}
    lines = [one for one in lines if chosen(same.get(one["group"], one["group"]), share)]
    ids = {one["id"] for one in lines}
    return [one for one in read_lines(shared / "planted.jsonl.gz") if one["id"] in ids], lines


def planted(shared: Path, work: Path, vectors: Vectors, *, share: float, quick: bool) -> str:
    documents, lines = read_planted(shared, share)
    truth = Truth(lines)
    corpus = Corpus(work / "planted", documents, vectors)
    done = {name: corpus.compare(steps, name) for name, steps in recipes(THRESHOLDS, quick=quick).items()}
    rows = [(name, *cells(corpus, one, (judge(truth.groups, each.kept) for each in one))) for name, one in done.items()]
    all_pairs = [pair for pairs in truth.pairs.values() for pair in pairs]
    kinds: list[Sequence[str]] = [
        ("how many there are", *(f"{len(pairs):,}" for pairs in truth.pairs.values()), "", "")
    ]
    for name, one in done.items():
        own = [f"{truth.share(kind, one.outcome.kept):.2f}" for kind in truth.pairs]
        kinds.append(
            (name, *own, *(f"{found_share(all_pairs, each.kept):.2f}" for each in (one.documents, one.tokens)))
        )
    said = [(name, *judged_pairs(truth, one)) for name, one in done.items()]
    removable = len(truth.groups) - len(set(truth.groups.values()))
    return "\n".join(
        [
            f"### planted: {len(corpus):,} documents, {removable:,} removable\n",
            measure.table(HEADER, rows),
            "\nShare of pairs found, by kind of the planted duplicate; random's is that of all kinds together:\n",
            measure.table(["", *(kind.replace("_", " ") for kind in truth.pairs), *CONTROLS], kinds),
            f"\nOnly labelled pairs: {len(truth.pairs.get('paraphrase', ())):,} paraphrases and "
            f"{len(truth.different):,} that people judged not to say the same. A pair is found unless both are kept.\n",
            measure.table(["", "pairs found", *HEADER[3:]], said),
            "",
            matched(corpus, truth, done, quick=quick),
        ]
    )


def judged_pairs(truth: Truth, one: Compared) -> list[str]:
    own, *controls = (truth.paraphrases(each.kept) for each in one)
    return [*own.cells(), *(cell for control in controls for cell in control.cells()[1:])]


def matched(corpus: Corpus, truth: Truth, done: dict[str, Compared], *, quick: bool) -> str:
    """At every level of precision, the setting of each family that finds most paraphrases without falling below it."""
    thresholds = ["0.9"] if quick else sorted((*THRESHOLDS, *BETWEEN), reverse=True)
    families = {
        "MinHash alone": presets(quick) if quick else MINHASH | LOOSE,
        "exact, minhash, semdedup": {f"exact, minhash, semdedup {t}": sequence(t) for t in thresholds},
    }
    rows: list[Sequence[str]] = []
    outcomes: dict[str, tuple[Steps, Outcome]] = {}
    for settings in families.values():
        for name, steps in settings.items():
            outcomes[name] = steps, done[name].outcome if name in done else corpus.run(steps)
    for level in LEVELS:
        for family, settings in families.items():
            able = [name for name in settings if judge(truth.groups, outcomes[name][1].kept).precision >= level]
            if not able:
                rows.append((f"{level}", f"{family}: none", *[""] * 7))
                continue
            best = max(able, key=lambda name: truth.paraphrases(outcomes[name][1].kept).recall)
            one = done[best] if best in done else corpus.compare(outcomes[best][0], best)
            own = judge(truth.groups, one.outcome.kept)
            controls = [judge(truth.groups, each.kept) for each in (one.documents, one.tokens)]
            found = [truth.paraphrases(each.kept).recall for each in one]
            rows.append(
                (
                    f"{level}",
                    best,
                    f"{own.precision:.4f}",
                    f"{own.recall:.3f}",
                    f"{found[0]:.3f}",
                    *_shown(controls, found),
                )
            )
    header = ["precision at least", "setting", "precision", "recall", "paraphrases found"]
    header += [f"{control}: {name}" for control in CONTROLS for name in ("recall", "paraphrases")]
    tried = f"{len(families['MinHash alone'])} settings of MinHash and {len(thresholds)} thresholds"
    return "\n".join(
        [
            f"At the same precision over the whole corpus, of {tried}, that which finds most paraphrases:\n",
            measure.table(header, rows),
        ]
    )


def _shown(controls: list[Found], found: list[float]) -> list[str]:
    pairs = zip(controls, found[1:])
    return [cell for control, share in pairs for cell in (f"{control.recall:.3f}", f"{share:.3f}")]
