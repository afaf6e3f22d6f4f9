"""What Dataflow is told about the templates: their parameters, from the options of the command line and their defaults.

    python -m sluice.pipelines.launch.metadata templates/flex
    python -m sluice.pipelines.launch.metadata gs://bucket/templates --image R-docker.pkg.dev/P/images/sluice:1

The first writes NAME.metadata.json, which `gcloud dataflow flex-template build --metadata-file` takes; the second the
templates themselves, NAME.json, as that command writes them: the image and the metadata.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from sluice.pipelines.launch.stage import DEFAULT_RECIPE, INVENTORY, default_of
from sluice.pipelines.recipe import presets
from sluice.pipelines.recipe.options import OPTIONS, STEP_OPTIONS, Option
from sluice.pipelines.run.layout import REPORT
from sluice.pipelines.run.resources import ACCELERATOR
from sluice.pipelines.steps import find_steps
from sluice.transforms import storage
from sluice.transforms.storage import committing

URL = r"[a-z][a-z0-9]*://[^,\n\r]+"
WHOLE, NUMBER = r"^[0-9]+$", r"^[0-9]*\.?[0-9]+([eE]-?[0-9]+)?$"
# Where a value is more than its type says: an error before any machine is started.
REGEXES = {
    "input": rf"^{URL}(,{URL})*$",
    "model": rf"^({URL}|/.+|[\w.-]+/[\w.-]+(@[\w./-]+)?)$",
    "centroids": f"^{URL}$",
    "tokens": rf"^(auto|model|none|column:.+|{URL}|/.+)$",
    "keep": NUMBER,
    "keep_tokens": r"^[0-9]+(\.[0-9]+)?\s*[KMBTkmbt]?$",
    "threshold": r"^-?[0-9]*\.?[0-9]+$",
    "eps": NUMBER,
    "clusters": r"^(auto|[0-9]+)$",
    "layers": r"^[0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*$",
    # Some models' prompts have several lines.
    "prompt": r"(?s)^.*$",
}


@dataclass(frozen=True)
class Template:
    """A template: `stages` is what its parameter `stage` may be, as a regular expression, `example` one of these."""

    name: str
    about: str
    stages: str
    example: str

    @property
    def parameters(self) -> list[dict[str, Any]]:
        found = [self._stage(), _run()]
        if self.stages == INVENTORY:
            found += [_recipe(), *(_parameter(option) for option in OPTIONS)]
        if self.stages == "embeddings":
            found.append(_accelerator())
        return found

    @property
    def metadata(self) -> dict[str, Any]:
        """The metadata as JSON has it: google.dataflow.v1beta3.TemplateMetadata."""
        return {"name": self.name, "description": self.about, "parameters": self.parameters}

    def _stage(self) -> dict[str, Any]:
        found = _text("stage", "Stage", f"The stage that is run, as {self.example}. Those before it must be finished.")
        if self.stages == self.example:
            found["defaultValue"] = self.example
        return found | {"isOptional": False, "regexes": [f"^{self.stages}$"]}


# A step's stage, as 02-semdedup/scores, 02-semdedup/split-1/centroids or 01-minhash/round-1.
STEP_STAGES = r"[0-9]{2,}-[a-z_]+/([a-z]+-[0-9]+/)?[a-z]+(-[0-9]+)?"
TEMPLATES = (
    Template(
        "sluice-inventory",
        "Begins a curation: checks the recipe, writes recipe.yaml, and cuts the input into units.",
        INVENTORY,
        INVENTORY,
    ),
    Template("sluice-documents", "Reads and checks every record, hashes texts, counts tokens.", *["documents"] * 2),
    Template("sluice-embeddings", "Embeds the documents, or takes their given vectors.", *["embeddings"] * 2),
    Template("sluice-step", "One stage of one step of the recipe.", STEP_STAGES, "02-semdedup/scores"),
    Template("sluice-decisions", "What became of every document, and why.", *["decisions"] * 2),
    Template("sluice-corpus", "Writes the kept documents, as they were in the input.", *["corpus"] * 2),
    Template("sluice-report", "Checks that every document is accounted for and writes report.json.", *[REPORT] * 2),
)


def container_spec(template: Template, image: str) -> dict[str, Any]:
    """A template as Dataflow starts it (google.dataflow.v1beta3.ContainerSpec): workers run the launcher's image."""
    return {
        "image": image,
        "sdkInfo": {"language": "PYTHON"},
        "metadata": template.metadata,
        "defaultEnvironment": {"sdkContainerImage": image},
    }


def _parameter(option: Option) -> dict[str, Any]:
    found = _text(option.name, _label(option.name), _sentence(option.help))
    found |= {"isOptional": True, "groupName": option.group}
    default = default_of(option)
    if default is not None:
        found["defaultValue"] = str(default)
    if option.name in REGEXES:
        found["regexes"] = [REGEXES[option.name]]
    elif option.choices:
        found |= {"paramType": "ENUM", "regexes": [f"^({'|'.join(option.choices)})$"]}
        found["enumOptions"] = [{"value": choice, "label": choice} for choice in option.choices]
    elif option.type in (int, float):
        found["regexes"] = [WHOLE if option.type is int else NUMBER]
        # The console fills in 0 where a number has no default, and 0 is none of these options' ways of saying nothing.
        if default is not None:
            found["paramType"] = "NUMBER"
    else:
        found["regexes"] = [r"^[^\n\r]*$"]
    recipes = _recipes_with(option.name)
    if recipes:
        # Shown for these presets only; a recipe file says such things itself.
        del found["groupName"]
        found |= {"parentName": "recipe", "parentTriggerValues": recipes}
    return found


@cache
def _recipes_with(name: str) -> list[str]:
    """The presets for which an option has a meaning; [] where it has one for all."""
    found = []
    for preset in presets.PRESETS:
        kinds = [find_steps()[step["step"]] for step in presets.steps_of(preset, target={}, text=True)]
        if name in STEP_OPTIONS and any(name in kind.model_fields and kind.needs_vectors for kind in kinds):
            found.append(preset)
        if name in ("threshold", "eps") and _takes_threshold(preset):
            found.append(preset)
    return found


def _takes_threshold(preset: str) -> bool:
    try:
        presets.steps_of(preset, target={"threshold": 1}, text=True)
    except ValueError:
        return False
    return True


def _run() -> dict[str, Any]:
    found = _text("run", "Run directory", "Where everything about this curation is written, as gs://bucket/runs/first.")
    return found | {"isOptional": False, "paramType": "GCS_WRITE_FOLDER", "regexes": [f"^{URL}$"]}


def _recipe() -> dict[str, Any]:
    known = "; ".join(f"{name}: {text}" for name, text in presets.PRESETS.items())
    found = _text("recipe", "Recipe", f"The URL of a YAML file, or one of these. {known}.")
    regex = f"^({'|'.join(presets.PRESETS)}|{URL}\\.ya?ml)$"
    return found | {"isOptional": True, "defaultValue": DEFAULT_RECIPE, "regexes": [regex]}


def _accelerator() -> dict[str, Any]:
    text = "Hardware that workers get, as type:nvidia-l4;count:1;install-nvidia-driver; nothing: none."
    found = _text("embedding_accelerator", "Accelerator", text)
    return found | {"isOptional": True, "regexes": [f"^{ACCELERATOR.pattern}$"]}


def _text(name: str, label: str, help_text: str) -> dict[str, Any]:
    return {"name": name, "label": label, "helpText": help_text, "paramType": "TEXT"}


def _label(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def write(folder: str, *, image: str | None = None) -> list[str]:
    """Write every template's metadata, or with an image the templates themselves; returns what was written."""
    written = []
    for template in TEMPLATES:
        name = f"{template.name}.metadata.json" if image is None else f"{template.name}.json"
        content = template.metadata if image is None else container_spec(template, image)
        written.append(storage.join(folder, name))
        committing.replace_bytes(written[-1], (json.dumps(content, indent=2) + "\n").encode())
    return written


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Write the metadata of the Dataflow templates, or the templates.")
    parser.add_argument("folder", help="where to: a folder or a URL")
    parser.add_argument("--image", help="the container image; with it the templates are written, not their metadata")
    args = parser.parse_args(argv)
    for name in write(args.folder, image=args.image):
        print(name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
