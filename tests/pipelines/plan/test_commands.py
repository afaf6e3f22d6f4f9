"""What `sluice plan` prints can be run: commands that Sluice takes."""

import json
import shlex
from typing import Any

import pytest

from sluice.pipelines.main import main, parser
from sluice.pipelines.plan.commands import options_in
from sluice.pipelines.plan.forecast import planned_stages
from sluice.pipelines.recipe.options import OPTIONS, build_recipe
from sluice.pipelines.run.layout import named_steps
from sluice.pipelines.run.resources import check_beam_args

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
        stages = [one.name for one in planned_stages(named_steps(recipe_in(asked).steps))]
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


def test_stages_that_the_data_decide_about_are_named_where_commands_name_stages(tmp_path, no_work, capsys):
    (tmp_path / "recipe.yaml").write_text("steps: [{step: minhash}, {step: prototypes, cut: {ratio: 0.5}}]\n")
    words = ["plan", "--input", "gs://b/in", "--recipe", str(tmp_path / "recipe.yaml"), "--json"]
    for machine, expected in (("here", None), ("n2-standard-8", None), ("g2-standard-8", "01-minhash/round-N")):
        assert main([*words, "--machine", machine]) == 0
        said = json.loads(capsys.readouterr().out)["left_out"]
        assert said is None if expected is None else expected in said and "--repeats 2" in said


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--input", "gs://b/in", "--streaming"], "--streaming: every stage is a batch job"),
        (["--input", "gs://b/in", "--flexrs_goal=COST_OPTIMIZED"], "g2-standard-8 has an accelerator: "),
        (["--input", "gs://b/in", "--vector", "v", "--recipe", "semdedup"], "this recipe runs no model"),
        (["--input", "gs://b/in", "--sdk_container_image=r/sluice@sha256:00"], "name it by its tag"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_sluice_would_refuse_is_not_printed(arguments, complaint, no_work, capsys):
    assert main(["plan", *arguments, "--machine", "g2-standard-8"]) == 2
    printed = capsys.readouterr()
    assert complaint in printed.err and not printed.out


def test_hints_that_flexrs_excludes_are_refused_on_plain_machines_too(no_work, capsys):
    words = ["--machine", "n2-standard-8", "--flexrs_goal=COST_OPTIMIZED", "--resource_hints=min_ram=64GB"]
    assert main(["plan", "--input", "gs://b/in", *words]) == 2
    assert "--resource_hints and --flexrs_goal=COST_OPTIMIZED exclude each other" in capsys.readouterr().err
