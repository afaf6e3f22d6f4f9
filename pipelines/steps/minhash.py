"""minhash: documents that share many of their shingles."""

from collections.abc import Generator
from dataclasses import asdict, replace
from decimal import Decimal
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from sluice.models.methods.minhash import PRESETS, Scheme
from sluice.pipelines.base.cuts import ColumnOrder, SourceOrder, to_order
from sluice.pipelines.base.layout import COPIES, SCORED, Find, Slot
from sluice.pipelines.base.step import Step
from sluice.pipelines.base.work import Scored, Stage, Work
from sluice.pipelines.terminal.printing import counted
from sluice.transforms.audit.views import AuditedStep
from sluice.transforms.documents.texts import Texts
from sluice.transforms.stages.artifacts import Artifact
from sluice.transforms.stages.manifests import find_manifest

MOST_VALUES = 4096
# Large-star and small-star take about log2 of the longest chain; half of these are enough for any corpus.
MOST_ROUNDS = 40


class MinHash(Step):
    """Near-duplicates by MinHash and banding (Broder 1997): of documents that equal bands connect, all but one go.

    preset: datatrove (14 bands of 8 rows over 5 words), nemo (20 of 13 over 24 characters) or slimpajama (9 of 13 over
    6 characters); bands, rows and width change it. verify: only documents whose shingles have at least this Jaccard
    similarity with the first of a band they share are connected. order: which document of a group stays.
    """

    needs_texts: ClassVar[bool] = True
    names_neighbours: ClassVar[bool] = True

    step: Literal["minhash"] = "minhash"
    preset: Literal["datatrove", "nemo", "slimpajama"] = "datatrove"
    bands: int | None = Field(default=None, ge=1, le=MOST_VALUES)
    rows: int | None = Field(default=None, ge=1, le=MOST_VALUES)
    width: int | None = Field(default=None, ge=1, le=1000)
    verify: Decimal | None = Field(default=None, gt=0, le=1)
    order: Literal["random"] | ColumnOrder | SourceOrder = "random"

    @model_validator(mode="after")
    def _affordable(self) -> "MinHash":
        scheme = self.scheme
        if scheme.bands * scheme.rows > MOST_VALUES:
            raise ValueError(f"minhash: {scheme.bands} bands of {scheme.rows} rows are more than {MOST_VALUES} values")
        return self

    @property
    def scheme(self) -> Scheme:
        """The preset with what the recipe changed."""
        preset = PRESETS[self.preset]
        shingling = replace(preset.shingling, width=self.width or preset.shingling.width)
        return Scheme(shingling, self.bands or preset.bands, self.rows or preset.rows)

    def layout(self) -> tuple[Slot, ...]:
        rounds = (Slot(f"round-{number}", repeat=number) for number in range(1, MOST_ROUNDS + 1))
        links = Slot("links", shuffled=24 * self.scheme.bands)
        return (Slot("signatures"), links, *rounds, Slot("components"), COPIES, *SCORED)

    def needed(self, find: Find) -> tuple[Slot, ...]:
        return tuple(slot for slot in self.layout() if not slot.repeat or find(slot.folder) is not None)

    def stages(self, work: Work) -> Generator[Stage, None, Scored]:
        # heavy: Beam
        from sluice.transforms.minhash import components
        from sluice.transforms.minhash.bands import Bands
        from sluice.transforms.minhash.components import NameComponents
        from sluice.transforms.minhash.links import LinkBands
        from sluice.transforms.minhash.signatures import Sign
        from sluice.transforms.minhash.verify import Verification
        from sluice.transforms.scores.simple import ExactScores

        scheme, documents = self.scheme, work.documents
        texts = Texts(documents, work.before, work.run.fields, work.run.recipe.input.unreadable)
        sets = self.verify is not None
        signatures = work.artifact("signatures", Sign, [asdict(scheme), sets], documents, work.before)
        yield work.stage("signatures", signatures, Sign(work.inventory, signatures, texts, scheme, work.seed, sets))
        verification = None if self.verify is None else Verification(documents, signatures, self.verify)
        links = work.artifact("links", LinkBands, str(self.verify), signatures)
        bands = Bands(documents, signatures, scheme.bands, work.seed)
        signed = signatures.manifest["totals"]["signed"]
        yield work.stage("links", links, LinkBands(work.inventory, links, bands, signed, verification))
        few = links.manifest["totals"]["edges"] <= components.FEW
        if not few:
            links = yield from self._rounds(work, links)
        named = work.artifact("components", NameComponents, None, links)
        yield work.stage("components", named, NameComponents(work.inventory, named, documents, links, join=few))
        copies, stage = work.find_copies(named, "component", to_order(self.order))
        yield stage
        scores = work.artifact("scores", ExactScores, asdict(self.guard), copies)
        yield work.score_units(ExactScores(scores, documents, work.before, self.guard, copies))
        return Scored(scores, threshold=0)

    def not_compared(self, step: AuditedStep) -> list[str]:
        signatures = find_manifest(step.scores.url.rsplit("/", 1)[0] + "/signatures")
        count = 0 if signatures is None else signatures["totals"].get("too_short", 0)
        if not count:
            return []
        how = self.scheme.shingling
        size = how.width if how.of == "words" else max(how.width, how.shortest)
        return [
            f"{counted(count, 'document')} of fewer than {size} {how.of} {'was' if count == 1 else 'were'} compared "
            "with no other."
        ]

    def _rounds(self, work: Work, links: Artifact) -> Generator[Stage, None, Artifact]:
        """Rounds until nothing changes; returns the last one's links, which are stars."""
        # heavy: Beam
        from sluice.transforms.minhash.components import NotConverged, ShortenLinks, unchanged

        for number in range(1, MOST_ROUNDS + 1):
            folder, before = f"round-{number}", links.manifest["totals"]
            shorter = work.artifact(folder, ShortenLinks, None, links)
            round_ = ShortenLinks(work.inventory, shorter, links, before["edges"])
            yield work.stage(folder, shorter, round_)
            if unchanged(before, shorter.manifest["totals"]):
                return shorter
            links = shorter
        raise NotConverged(f"step {work.name}: links still change after {MOST_ROUNDS} rounds")
