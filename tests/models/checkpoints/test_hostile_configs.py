"""Configurations of models that somebody wrote to do harm: refused in one line, before anything is made of them."""

import json
import shutil
from pathlib import Path

import pytest

from sluice.models import checkpoints
from sluice.models.checkpoints import plain_json
from sluice.models.embedders.load import EmbedderConfig, load
from sluice.models.families import families, family

DATA = Path(__file__).parents[2] / "data"
ABSENT = object()
VALUES = (ABSENT, None, -1, 0, 10**9, 10**400, 0.5, float("nan"), float("inf"), "3", [], [[]], {}, {"a": {}}, True)


@pytest.mark.parametrize("name", families())
def test_any_setting_of_a_configuration_may_be_anything(name, tmp_path):
    settings = json.loads((DATA / name / "config.json").read_text(encoding="utf-8"))
    refused = 0
    for key in settings:
        for value in VALUES:
            changed = {other: kept for other, kept in settings.items() if other != key}
            (tmp_path / "config.json").write_text(json.dumps(changed if value is ABSENT else changed | {key: value}))
            try:
                with checkpoints.reading(str(tmp_path)):
                    config = checkpoints.read_config(str(tmp_path))
                    module = family(config.get("model_type"), str(tmp_path))
                    module.encoder(config, "float32")
                    module.weights(config)
                    module.max_tokens(config)
            except ValueError as error:
                refused += 1
                assert len(str(error)) < 1000
                assert "\n" not in str(error)
    assert refused > 100


REFUSED = [
    (
        {"num_hidden_layers": 10**9},
        "config.json: num_hidden_layers is 1000000000; it is a whole number from 1 to 1,000",
    ),
    (
        {"vocab_size": 10**400},
        "config.json: vocab_size is a number of 1329 bits; it is a whole number from 1 to 16,777",
    ),
    ({"hidden_size": "32"}, "config.json: hidden_size is '32'; it is a whole number"),
    ({"num_attention_heads": True}, "config.json: num_attention_heads is True; it is a whole number"),
    ({"num_attention_heads": 5}, "hidden_size 32 over 5 heads"),
    ({"layer_norm_eps": float("nan")}, "config.json: layer_norm_eps is nan; it is a number above 0"),
    ({"intermediate_size": None}, "config.json has no intermediate_size"),
    ({"intermediate_size": 65}, "weights do not fit config.json: wrong shape"),
]


@pytest.mark.parametrize(("change", "message"), REFUSED, ids=[str(change)[:30] for change, _ in REFUSED])
def test_a_number_out_of_bounds_is_named_with_its_file(change, message, tmp_path):
    shutil.copytree(DATA / "bert", tmp_path, dirs_exist_ok=True)
    settings = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    (tmp_path / "config.json").write_text(json.dumps(settings | change))
    with pytest.raises(ValueError, match=r"^.+$") as refused:
        load(EmbedderConfig(model=str(tmp_path)), weights=False)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"[" * 100_000, "nested too deep"),
        (b'{"a": 1', "Expecting"),
        (b"\xff\xfe", "decode"),
        (b"1" * 5_000, "digits"),
    ],
)
def test_json_that_is_none_or_too_deep_is_a_value_error(data, message, tmp_path):
    (tmp_path / "some.json").write_bytes(data)
    with pytest.raises(ValueError, match=rf"some\.json is not JSON: .*{message}"):
        plain_json.read(tmp_path / "some.json")


def test_json_above_the_bound_is_not_read(tmp_path):
    with (tmp_path / "some.json").open("wb") as file:
        file.truncate(plain_json.MOST_BYTES + 1)
    with pytest.raises(ValueError, match=r"it has 268,435,457 bytes, at most 268,435,456 are read"):
        plain_json.read(tmp_path / "some.json")
