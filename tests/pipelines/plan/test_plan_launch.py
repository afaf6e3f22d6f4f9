"""What `sluice plan` prints can be run: commands that Sluice takes, and calls that gcloud and the templates take."""

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from sluice.pipelines.launch.metadata import TEMPLATES
from sluice.pipelines.launch.stage import parser as template_parser
from sluice.pipelines.main import main, parser
from sluice.pipelines.plan.facts import planned_stages
from sluice.pipelines.plan.flags import options_in
from sluice.pipelines.recipe.options import OPTIONS, build_recipe
from sluice.pipelines.run.resources import check_beam_args
from tests.templates.parameters import faults

GIVEN = [
    ["--keep", "0.25"],
    ["--keep-tokens", "10B", "--tokens", "column:n", "--recipe", "semdedup"],
    ["--eps", "0.05", "--recipe", "semdedup", "--order", "easy", "--rule", "greedy", "--prompt", "passage: it's $5"],
    ["--prompt", "", "--seed", "7", "--max-reject-share", "0.5", "--unreadable", "reject", "--clusters", "12"],
    ["--text=-dashed", "--id", "a b", "--unit-bytes", "1000", "--refine", "2", "--run", "runs/it's mine"],
]


def printed(capsys, *arguments: str) -> list[str]:
    assert main(["plan", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)["commands"]


def parsed(command: str) -> tuple[Any, list[str]]:
    words = shlex.split(command)
    assert words[0] == "sluice"
    args, beam_args = parser().parse_known_args(words[1:])
    check_beam_args(beam_args)
    return args, beam_args


def recipe_in(args: Any) -> Any:
    given = {option.name: getattr(args, option.name) for option in OPTIONS if option.name != "input"}
    return build_recipe(recipe=args.recipe, inputs=args.input, **given)


@pytest.fixture
def no_work(monkeypatch):
    """Commands do not depend on what was measured."""
    monkeypatch.setattr("sluice.pipelines.plan.plan.plan", lambda *_, **__: {})
    monkeypatch.setattr("sluice.pipelines.plan.plan.render", lambda _: "")


@pytest.mark.parametrize("given", GIVEN, ids=lambda given: given[0])
@pytest.mark.parametrize("machine", ["here", "n2-standard-8", "g2-standard-8"])
def test_the_printed_command_asks_for_what_was_planned(given, machine, no_work, capsys):
    words = ["--input", "a file.jsonl", "*.gz", *given]
    asked, _ = parser().parse_known_args(["plan", *words])
    commands = printed(capsys, *words, "--machine", machine, "--workers", "3")
    curates = [parsed(line) for line in commands if line.startswith("sluice curate")]
    assert all(recipe_in(args) == recipe_in(asked) for args, _ in curates)
    runs = {parsed(line)[0].run for line in commands}
    assert len(runs) == 1 and (asked.run is None or runs == {asked.run})
    if machine == "here":
        assert len(commands) == 1 and "--direct_num_workers=3" in curates[0][1]
    if machine == "n2-standard-8":
        assert len(commands) == 1 and "--machine_type=n2-standard-8" in curates[0][1]
    if machine == "g2-standard-8":
        stages = planned_stages(recipe_in(asked))
        assert [args.command for args, _ in map(parsed, commands[:1] + commands[-1:])] == ["curate", "curate"]
        assert [parsed(line)[0].stage for line in commands[1:-1]] == stages[: stages.index("embeddings") + 1]
        _, beam_args = parsed(commands[-2])
        assert {"--machine_type=g2-standard-8", "--sdk_container_image=IMAGE-gpu"} <= set(beam_args)
        assert "--sdk_container_image=IMAGE" in curates[-1][1]
        assert curates[0][0].prepare and not curates[-1][0].prepare


def test_what_beam_is_told_goes_into_the_command(no_work, capsys):
    told = ["--runner", "DataflowRunner", "--project=mine", "--region", "europe-west4"]
    (command,) = printed(capsys, "--input", "gs://b/in", "--machine", "n2-standard-8", *told)
    _, beam_args = parsed(command)
    assert beam_args[: len(told)] == told and command.count("--project") == command.count("--runner") == 1


def test_an_accelerator_has_an_image_and_a_machine_of_its_own_whatever_beam_is_told(no_work, capsys):
    told = ["--sdk_container_image", "r/sluice:1", "--worker_machine_type=n2-highmem-8", "--max_num_workers", "4"]
    *_, embed, whole = printed(capsys, "--input", "gs://b/in", "--machine", "ct5lp-hightpu-1t", *told)
    assert parsed(whole)[1][: len(told)] == told and "--machine_type" not in whole
    special = options_in(parsed(embed)[1])
    assert (special["sdk_container_image"], special["machine_type"]) == ("r/sluice:1-tpu", "ct5lp-hightpu-1t")
    assert special["max_num_workers"] == 4 and special["experiments"] == ["no_use_multiple_sdk_containers"]
    assert embed.count("r/sluice") == embed.count("machine_type") == embed.count("max_num_workers") == 1


# Templates ------------------------------------------------------------------------------------------------------

TEMPLATED = ["--input", "gs://b/in", "--run", "gs://b/run", "--templates", "gs://b/templates/"]


def called(command: str) -> tuple[str, dict[str, str], dict[str, str]]:
    """The template's place, flags by name, and parameters of a call that Dataflow would start."""
    words = shlex.split(command)
    assert words[:4] == ["gcloud", "dataflow", "flex-template", "run"] and words[4].startswith("sluice-")
    flags = dict(word.partition("=")[::2] for word in words[5:])
    assert len(flags) == len(words) - 5 and flags.keys() <= GCLOUD
    text = flags.pop("--parameters")
    assert text[0] == text[2] == "^"
    values = dict(one.split("=", 1) for one in text[3:].split(text[1]))
    place = flags.pop("--template-file-gcs-location")
    (template,) = [template for template in TEMPLATES if f"{template.name}.json" == Path(place).name]
    known = {name: value for name, value in values.items() if name != "sdk_container_image"}
    assert not faults(template.parameters, known), command
    return place, flags, values


# `gcloud dataflow flex-template run --help`, and one that all of gcloud's commands have.
GCLOUD = {f"--{name}" for name in ("template-file-gcs-location", "parameters", "region", "project", "max-workers")}
GCLOUD |= {f"--{name}" for name in ("num-workers", "worker-machine-type", "staging-location", "temp-location")}
GCLOUD |= {f"--{name}" for name in ("service-account-email", "network", "subnetwork", "disable-public-ips")}
GCLOUD |= {f"--{name}" for name in ("additional-experiments", "flexrs-goal", "dataflow-kms-key", "worker-zone")}
REALISTIC = [
    [],
    ["--keep", "0.3", "--machine", "n1-standard-8-t4", "--id", "meta.id", "--model", "intfloat/e5-small@v2"],
    [
        "--input",
        "gs://b/2025/*.parquet",
        "--keep-tokens",
        "10B",
        "--tokens",
        "gs://b/tokenizer.json",
        "--prompt",
        "a ~| query: ",
    ],
    ["--recipe", "semdedup", "--eps", "0.05", "--vector", "embedding", "--centroids", "gs://b/runs/other"],
    ["--machine", "ct5lp-hightpu-1t", "--prompt", "Instruct: find\nQuery: ", "--layers", "1-6,10-12"],
]


@pytest.mark.parametrize("given", REALISTIC, ids=lambda given: " ".join(given[:2]))
def test_every_call_is_one_that_the_templates_take(given, no_work, capsys):
    words = [*TEMPLATED, "--machine", "n2-standard-8", *given]
    calls = [called(line) for line in printed(capsys, *words, "--workers", "9")]
    asked, _ = parser().parse_known_args(["plan", *words])
    assert [values["stage"] for _, _, values in calls] == planned_stages(recipe_in(asked))
    template, _ = template_parser().parse_known_args([f"--{name}={value}" for name, value in calls[0][2].items()])
    assert recipe_in(template) == recipe_in(asked)
    for _, flags, values in calls:
        assert flags["--region"] == "REGION" and values["run"] == "gs://b/run"
        assert (flags["--staging-location"], flags["--temp-location"]) == ("gs://BUCKET/staging", "gs://BUCKET/tmp")
        assert flags.get("--max-workers") == (None if values["stage"] == "report" else "9")


def test_embeddings_on_an_accelerator_use_the_templates_of_its_image(no_work, capsys):
    accelerated = [*TEMPLATED, "--machine", "g2-standard-8", "--sdk_container_image=r/sluice:1"]
    for other, folder in (([], "templates-gpu"), (["--accelerator-templates", "gs://c/own"], "own")):
        for place, flags, values in map(called, printed(capsys, *accelerated, *other)):
            embeds = values["stage"] == "embeddings"
            assert Path(place).parent.name == (folder if embeds else "templates")
            assert values["sdk_container_image"] == ("r/sluice:1-gpu" if embeds else "r/sluice:1")
            assert ("embedding_accelerator" in values) == ("--additional-experiments" in flags) == embeds
            if embeds:
                assert values["embedding_accelerator"] == "type:nvidia-l4;count:1;install-nvidia-driver"
                assert flags["--additional-experiments"] == "no_use_multiple_sdk_containers"
                assert flags["--worker-machine-type"] == "g2-standard-8"
            elif values["stage"] != "report":
                assert flags["--worker-machine-type"] == "n2-standard-8"


def test_what_beam_is_told_goes_into_every_call(no_work, capsys):
    told = {
        **{"--region": "europe-west4", "--project": "mine", "--temp_location": "gs://c/tmp"},
        **{"--staging_location": "gs://c/s", "--service_account_email": "a@b", "--network": "n", "--subnetwork": "s/n"},
        **{"--max_num_workers": "7", "--num_workers": "2", "--flexrs_goal": "COST_OPTIMIZED", "--worker_zone": "z"},
        "--dataflow_kms_key": "k",
    }
    words = [word for pair in told.items() for word in pair] + ["--no_use_public_ips", "--runner=DataflowRunner"]
    words += ["--experiments=one", "--experiment", "two=2", "--machine_type", "n2-highmem-8"]
    expected = {name.replace("_", "-"): value for name, value in told.items()}
    expected["--max-workers"] = expected.pop("--max-num-workers")
    expected |= {"--disable-public-ips": "", "--additional-experiments": "one,two=2"}
    expected["--worker-machine-type"] = "n2-highmem-8"
    for line in printed(capsys, *TEMPLATED, "--machine", "n2-standard-8", "--workers", "9", *words):
        assert called(line)[1] == expected


def test_stages_that_the_data_decide_about_are_named_where_commands_name_stages(no_work, capsys):
    def said(*arguments: str) -> str | None:
        assert main(["plan", *arguments, "--json"]) == 0
        return json.loads(capsys.readouterr().out)["left_out"]

    assert said(*TEMPLATED, "--machine", "n2-standard-8") == (
        "Left out, because only the data decide about them: 02-embedded, 02-semdedup/split-N. Their places: "
        "sluice recipes --stages d4 --repeats 2"
    )
    assert said("--input", "gs://b/in", "--machine", "n2-standard-8") is None
    assert said("--input", "a.jsonl") is None
    assert said(*TEMPLATED, "--machine", "n2-standard-8", "--recipe", "random", "--keep", "0.5") is None


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([*TEMPLATED, "--disk_size_gb=30"], "--disk_size_gb beside --templates"),
        ([*TEMPLATED, "--job_name", "mine"], "--job_name beside --templates"),
        ([*TEMPLATED, "--use_public_ips"], "--use_public_ips beside --templates"),
        ([*TEMPLATED, "--runner=FlinkRunner"], "--runner FlinkRunner beside --templates"),
        ([*TEMPLATED, "--input", "sample"], "--input 'gs://b/in,sample' is not what sluice-inventory takes"),
        ([*TEMPLATED, "--run", "runs/first"], "--run 'runs/first' is not what sluice-inventory takes"),
        ([*TEMPLATED, "--templates", "templates"], "--templates is a folder as gs://bucket/templates, not 'templates'"),
        ([*TEMPLATED, "--accelerator-templates", "t"], "--accelerator-templates is a folder as gs://"),
        (["--input", "a", "--accelerator-templates", "gs://b/t"], "gs://b/t goes with --templates"),
        (["--input", "gs://b/in", "--streaming"], "--streaming: every stage is a batch job"),
        (["--input", "gs://b/in", "--flexrs_goal=COST_OPTIMIZED"], "g2-standard-8 has an accelerator: "),
        ([*TEMPLATED, "--flexrs_goal=COST_OPTIMIZED"], "and --flexrs_goal=COST_OPTIMIZED exclude each other"),
        (["--input", "gs://b/in", "--vector", "v", "--recipe", "semdedup"], "this recipe runs no model"),
        (["--input", "gs://b/in", "--sdk_container_image=r/sluice@sha256:00"], "name it by its tag"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_sluice_or_the_templates_would_refuse_is_not_printed(arguments, complaint, no_work, capsys):
    assert main(["plan", *arguments, "--machine", "g2-standard-8"]) == 2
    printed = capsys.readouterr()
    assert complaint in printed.err and not printed.out


def test_hints_that_flexrs_excludes_are_refused_on_plain_machines_too(no_work, capsys):
    words = ["--machine", "n2-standard-8", "--flexrs_goal=COST_OPTIMIZED", "--resource_hints=min_ram=64GB"]
    assert main(["plan", "--input", "gs://b/in", *words]) == 2
    assert "--resource_hints and --flexrs_goal=COST_OPTIMIZED exclude each other" in capsys.readouterr().err
