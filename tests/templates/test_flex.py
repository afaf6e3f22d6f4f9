"""The templates' metadata says what the entry takes, no more and no less, in the form that Dataflow reads."""

import json
import shlex
import typing
from pathlib import Path
from typing import Any

import pytest
from google.cloud.dataflow_v1beta3.types import ContainerSpec, TemplateMetadata

from sluice.pipelines.launch.metadata import TEMPLATES, Template, container_spec, main
from sluice.pipelines.launch.stage import default_of, parser
from sluice.pipelines.recipe.options import BY_NAME, OPTIONS, STEP_OPTIONS, build_recipe
from sluice.pipelines.recipe.presets import PRESETS
from sluice.pipelines.recipe.recipe import Recipe
from sluice.pipelines.run.layout import stage_names
from sluice.pipelines.run.resources import check_beam_args
from sluice.pipelines.steps import find_steps
from tests.templates.parameters import faults, matches

FOLDER = Path(__file__).parents[2] / "templates" / "flex"
BY_STAGE = {template.example: template for template in TEMPLATES}
INVENTORY = {parameter["name"]: parameter for parameter in BY_STAGE["inventory"].parameters}
# Values that people give, each for a parameter that has no default or where its default says little.
EXAMPLES = {
    "input": ["gs://b/a.jsonl.zst", "gs://b/2024,gs://b/2025/*.parquet"],
    "recipe": ["density", "gs://b/recipes/own.yaml"],
    "format": ["warc"],
    "id": ["meta.id"],
    "vector": ["embedding"],
    "tokens": ["none", "column:n_tokens", "gs://b/tokenizer.json"],
    "source": ["source"],
    "max_reject_share": ["0", "1e-3"],
    "model": ["gs://b/models/e5", "intfloat/e5-small@v2", "/models/minilm"],
    "prompt": ["passage: ", "Instruct: find\nQuery: "],
    "prompt_name": ["document"],
    "dimensions": ["128"],
    "layers": ["6", "1-6,10-12"],
    "keep": ["0.5", ".25", "1", "0.0001"],
    "keep_tokens": ["10B", "1.5k", "250 M", "40000"],
    "threshold": ["0.95", "-0.1"],
    "eps": ["0.05"],
    "clusters": ["auto", "11000"],
    "trainer_bytes": ["1073741824"],
    "refine": ["3"],
    "centroids": ["gs://b/runs/first"],
    "run": ["gs://b/runs/first"],
    "embedding_accelerator": ["type:nvidia-l4;count:1;install-nvidia-driver"],
}
WRONG = {
    "input": ["/local/folder", "gs://b/a,", ""],
    "recipe": ["d5", "gs://b/recipe.json"],
    "keep": ["half", "50%"],
    "keep_tokens": ["lots", "10X"],
    "clusters": ["-1", "many"],
    "unit_bytes": ["128MB"],
    "run": ["runs/first"],
    "dtype": ["float16"],
}


def test_the_files_are_what_the_options_make(tmp_path, capsys):
    assert main([str(tmp_path)]) == 0
    made = {path.name: path.read_text() for path in tmp_path.iterdir()}
    committed = {path.name: path.read_text() for path in FOLDER.iterdir()}
    assert made == committed, "run: python -m sluice.pipelines.launch.metadata templates/flex"
    assert len(capsys.readouterr().out.splitlines()) == len(TEMPLATES) == 7


@pytest.mark.parametrize("path", sorted(FOLDER.iterdir()), ids=lambda path: path.name.split(".")[0])
def test_dataflow_reads_the_metadata(path):
    read = TemplateMetadata.from_json(path.read_text(), ignore_unknown_fields=False)
    written = json.loads(path.read_text())
    assert read.name == written["name"] == path.name.removesuffix(".metadata.json")
    assert [one.name for one in read.parameters] == [one["name"] for one in written["parameters"]]
    for one in read.parameters:
        assert one.label and one.help_text and one.param_type


def test_every_option_is_a_parameter_and_every_parameter_an_option():
    assert list(INVENTORY) == ["stage", "run", "recipe", *BY_NAME]
    for name, template in BY_STAGE.items():
        names = [parameter["name"] for parameter in template.parameters]
        if name != "inventory":
            assert names == ["stage", "run"] + (["embedding_accelerator"] if name == "embeddings" else [])


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda template: template.name)
def test_the_entry_takes_every_parameter_with_every_value_that_passes(template: Template):
    required = ["--stage=documents", "--run=gs://b/r"]
    for parameter in template.parameters:
        options = [one["value"] for one in parameter.get("enumOptions", [])]
        default = [parameter["defaultValue"]] if "defaultValue" in parameter else []
        values = [*EXAMPLES.get(parameter["name"], []), *options, *default]
        assert values or parameter["name"] == "stage", parameter["name"]
        for value in values:
            assert matches(parameter, value), (parameter["name"], value)
            args, rest = parser().parse_known_args([*required, f"--{parameter['name']}={value}"])
            assert hasattr(args, parameter["name"]) or rest == [f"--{parameter['name']}={value}"]
            check_beam_args(rest)


def test_wrong_values_are_stopped_before_any_machine_is_started():
    for name, values in WRONG.items():
        for value in values:
            assert not matches(INVENTORY[name], value), (name, value)


def test_choices_are_enumerations_and_those_of_the_recipe():
    for option in OPTIONS:
        found = INVENTORY[option.name]
        assert (found["paramType"] == "ENUM") == (option.choices is not None), option.name
        assert tuple(one["value"] for one in found.get("enumOptions", [])) == (option.choices or ())
        if option.choices and option.place:
            model: Any = Recipe
            for name in option.place[:-1]:
                model = model.model_fields[name].annotation
            assert set(typing.get_args(model.model_fields[option.place[-1]].annotation)) == set(option.choices)
    for name in STEP_OPTIONS:
        for kind in find_steps().values():
            field = kind.model_fields.get(name)
            choices = BY_NAME[name].choices
            if choices and field is not None and kind.needs_vectors is True:
                assert set(choices) & set(_literals(field.annotation)), (name, kind)


def _literals(annotation: Any) -> list[Any]:
    if typing.get_origin(annotation) is typing.Literal:
        return list(typing.get_args(annotation))
    return [value for part in typing.get_args(annotation) for value in _literals(part)]


def test_defaults_are_those_of_the_recipe_and_change_nothing_when_they_are_sent_along():
    defaults = {name: one["defaultValue"] for name, one in INVENTORY.items() if "defaultValue" in one}
    assert (defaults.pop("stage"), defaults.pop("recipe")) == ("inventory", "d4")
    args = [f"--{name}={value}" for name, value in defaults.items()]
    given = vars(parser().parse_args(["--stage=inventory", "--run=r", *args]))
    assert {name: given[name] for name in defaults} == {name: default_of(BY_NAME[name]) for name in defaults}
    plain = build_recipe(inputs=("a.jsonl",), tokens="none")
    assert build_recipe(inputs=("a.jsonl",), **{name: given[name] for name in defaults} | {"tokens": "none"}) == plain


def test_a_number_that_the_console_would_fill_with_0_is_none():
    for name, one in INVENTORY.items():
        assert one["paramType"] != "NUMBER" or "defaultValue" in one, name


VALUES = {
    **{"clusters": "4", "trainer_bytes": 10**6, "refine": 1, "centroids": "/runs/other", "order": "easy"},
    **{"rule": "official", "direction": "near", "scope": "cluster", "assignment": "exact"},
    **{"threshold": "0.9", "eps": "0.1"},
}


@pytest.mark.parametrize("name", [*STEP_OPTIONS, "threshold", "eps"])
def test_options_of_some_steps_are_shown_for_the_presets_that_take_them(name):
    taken = []
    for preset in PRESETS:
        try:
            build_recipe(recipe=preset, inputs=("a.jsonl",), **{name: VALUES[name]})
        except ValueError:
            continue
        taken.append(preset)
    shown = INVENTORY[name]
    assert shown["parentName"] == "recipe" and "groupName" not in shown
    assert shown["parentTriggerValues"] == taken


def test_every_stage_that_there_can_be_has_just_one_template():
    steps = [
        {"step": "minhash"},
        {"step": "reference", "runs": ["gs://b/r1", "gs://b/r2"], "cut": {"threshold": "0.9"}},
        {"step": "semdedup", "refine": 2, "cut": {"ratio": "0.9"}},
        {"step": "density", "cut": {"ratio": "0.5"}},
    ]
    recipes = [build_recipe(recipe=preset, inputs=("a.jsonl",)) for preset in PRESETS]
    recipes.append(Recipe.model_validate({"input": {"paths": ["gs://b/in"]}, "steps": steps}))
    for recipe in recipes:
        for stage in stage_names(recipe):
            found = [template.name for template in TEMPLATES if matches(template.parameters[0], stage)]
            assert found == [BY_STAGE[stage].name if stage in BY_STAGE and "/" not in stage else "sluice-step"], stage
    for stage in ("", "inventory ", "02-semdedup", "../scores", "02-semdedup/scores/more/parts"):
        assert not any(matches(template.parameters[0], stage) for template in TEMPLATES), stage


def test_a_template_names_the_image_for_the_launcher_and_for_the_workers(tmp_path):
    image = "europe-docker.pkg.dev/p/images/sluice:1"
    assert main([str(tmp_path), "--image", image]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(f"{one.name}.json" for one in TEMPLATES)
    for template in TEMPLATES:
        spec = ContainerSpec.from_json((tmp_path / f"{template.name}.json").read_text(), ignore_unknown_fields=False)
        assert spec.image == spec.default_environment.sdk_container_image == image
        assert (spec.sdk_info.language.name, spec.metadata.name) == ("PYTHON", template.name)
    assert json.loads((tmp_path / "sluice-step.json").read_text()) == container_spec(
        BY_STAGE["02-semdedup/scores"], image
    )


def test_the_documented_launch_names_a_template_and_parameters_that_there_are():
    page = (FOLDER.parents[1] / "docs" / "launch" / "dataflow.md").read_text().replace("\\\n", " ")
    # The others are played (tests/cloud/test_page.py).
    (launch,) = [line for line in page.splitlines() if line.startswith("gcloud dataflow flex-template run")]
    words = shlex.split(launch)
    (path,) = [words[at + 1] for at, word in enumerate(words) if word == "--template-file-gcs-location"]
    (template,) = [template for template in TEMPLATES if template.name == Path(path).stem]
    given = [words[at + 1] for at, word in enumerate(words) if word == "--parameters"]
    values = dict(part.split("=", 1) for text in given for part in text.split(","))
    assert values.pop("sdk_container_image").startswith("$IMAGE")
    assert not faults(template.parameters, values)
