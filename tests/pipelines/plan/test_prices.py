"""The price file of `sluice plan` is a file that people edit, and that strangers may have written."""

import pytest
import yaml

from sluice.pipelines.plan.prices import HERE, SHIPPED, read_prices
from sluice.pipelines.recipe.plain_yaml import MOST_BYTES

MINIMAL = """
source: me
date: 2026-01-02
prices: {vcpu_hour: 0.05}
machines:
  here: {kind: local}
  big: {kind: dataflow, cores: 4, memory_gb: 16, speed: 1, gflops_per_core: 50}
"""


def test_the_shipped_file_is_whole_and_names_its_source_and_date():
    found = read_prices()
    assert HERE in found.machines and "dataflow_cost_consts" in found.source and found.date.year >= 2026
    assert "CHECK BEFORE QUOTING" in SHIPPED.read_text()
    for machine in found.machines.values():
        if machine.kind == "dataflow":
            hour, missing = found.hour(machine)
            assert hour > 0.3 and set(missing) <= {"tpu-v5-lite-podslice"}


def test_the_price_of_a_machine_is_the_sum_of_its_parts():
    found = read_prices()
    vcpus, memory, disk, accelerator = 8 * 0.056, 32 * 0.003557, 30 * 0.000054, 0.672
    assert found.hour(found.machine("g2-standard-8")) == (pytest.approx(vcpus + memory + disk + accelerator), [])
    assert found.hour(found.machine("laptop")) == (0, [])
    assert found.hour(found.machine("ct5lp-hightpu-1t"))[1] == ["tpu-v5-lite-podslice"]


def test_an_edited_file_is_read(tmp_path):
    path = tmp_path / "prices.yaml"
    path.write_text(MINIMAL)
    found = read_prices(str(path))
    assert found.hour(found.machine("big")) == (pytest.approx(0.2), ["memory_gb_hour", "disk_gb_hour"])
    with pytest.raises(ValueError, match="there is no machine 'small'; there is here, big"):
        found.machine("small")


def change(**changes) -> str:
    """MINIMAL with another machine `big`, or other entries."""
    data = yaml.safe_load(MINIMAL)
    data["machines"]["big"] |= changes.pop("big", {})
    return yaml.safe_dump(data | changes)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "valid dictionary"),
        ("- a\n- b\n", "valid dictionary"),
        ("{", "while parsing"),
        ("!!python/object/apply:os.system ['touch hacked']", "could not determine a constructor"),
        ("source: !!python/name:os.system\n", "could not determine a constructor"),
        ("a: &a [x, x]\nb: [*a, *a]\n", "anchors and references"),
        ("[" * 20_000, "nested more than 50 deep"),
        (change(colour="red"), "colour: Extra inputs"),
        (change(prices={"vcpu_hour": -1}), "prices.vcpu_hour"),
        (change(prices={"vcpu_hour": float("nan")}), "prices.vcpu_hour"),
        (change(prices={"vcpu_hour": float("inf")}), "prices.vcpu_hour"),
        (change(prices={"vcpu_hour": "free"}), "prices.vcpu_hour"),
        (change(currency="dollars and cents"), "currency"),
        (change(date="some day"), "date"),
        (change(machines={}), "machines"),
        (change(big={"cores": 0}), "machines.big.cores"),
        (change(big={"speed": None}), "machine big needs speed"),
        (change(big={"start_seconds": [3, 2, 1]}), "in order"),
        (change(big={"accelerator": "gpu"}), "needs tflops and hint"),
        (change(big={"accelerator": "gpu", "tflops": 9, "hint": "type:gpu"}), "gpu is not in prices"),
        (change(big={"tflops": 9}), "belong to a machine with an accelerator"),
        (change(big={"accelerator": "gpu", "tflops": 9, "hint": "type:gpu", "rest": "nowhere"}), "rest nowhere"),
        (change(big={"accelerator": "gpu", "tflops": 9, "hint": "type: $(rm)"}), "machines.big.hint"),
        (change(machines={"$(rm -rf)": {"kind": "local"}}), "machines"),
    ],
)
def test_anything_else_is_refused_with_its_place(text, complaint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "prices.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=f"price file {path}: .*{complaint.replace('$', '')}"):
        read_prices(str(path))
    assert not (tmp_path / "hacked").exists()


def test_what_is_too_large_no_text_or_not_there_is_refused(tmp_path):
    path = tmp_path / "prices.yaml"
    path.write_text("#" * (MOST_BYTES + 1))
    with pytest.raises(ValueError, match="larger than a price file can be"):
        read_prices(str(path))
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=f"price file {path}"):
        read_prices(str(path))
    with pytest.raises(FileNotFoundError):
        read_prices(str(tmp_path / "none.yaml"))
