"""The price file of `sluice plan`: machines, what they can do, what they cost. YAML that people edit, checked whole."""

import datetime
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import Field, ValidationError, model_validator

from sluice.models.forecast.ranges import Range
from sluice.pipelines.base.cuts import Strict
from sluice.pipelines.recipe import plain_yaml
from sluice.transforms import storage

SHIPPED = Path(__file__).with_name("prices.yaml")
HERE = "here"
MOST_MACHINES = 1000

Price = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)]


class Prices(Strict):
    """Of a vCPU, a GB of memory and of worker disk for an hour, of a GB through a shuffle, of a GB stored for a month.

    None: not known.
    """

    vcpu_hour: Price | None = None
    memory_gb_hour: Price | None = None
    disk_gb_hour: Price | None = None
    shuffle_gb: Price | None = None
    storage_gb_month: Price | None = None
    accelerator_hour: dict[Name, Price | None] = Field(default={}, max_length=MOST_MACHINES)


class Machine(Strict):
    """One kind of worker; prices.yaml says what the fields mean."""

    kind: Literal["local", "dataflow"]
    machine_type: Name | None = None
    cores: Annotated[int, Field(ge=1, le=10_000)] | None = None
    memory_gb: Positive | None = None
    speed: Positive | None = None
    gflops_per_core: Positive | None = None
    accelerator: Name | None = None
    accelerators: int = Field(default=1, ge=1, le=64)
    tflops: Positive | None = None
    hint: Annotated[str, Field(pattern=r"^[\w:;.-]+$", max_length=200)] | None = None
    rest: Name | None = None
    disk_gb: Price = 30.0
    start_seconds: tuple[Price, Price, Price] = (0.05, 0.15, 0.5)
    hour: Price | None = None

    @model_validator(mode="after")
    def _whole(self) -> "Machine":
        if list(self.start_seconds) != sorted(self.start_seconds):
            raise ValueError(f"start_seconds are low, likely, high, in order, not {list(self.start_seconds)}")
        needs = ("tflops", "hint") if self.kind == "dataflow" else ("tflops",)
        if self.accelerator and any(getattr(self, name) is None for name in needs):
            raise ValueError(f"a machine with an accelerator needs {' and '.join(needs)}")
        if not self.accelerator and (self.tflops or self.hint or self.rest):
            raise ValueError("tflops, hint and rest belong to a machine with an accelerator, and none is named")
        return self

    @property
    def start(self) -> Range:
        return Range(*self.start_seconds)


class PriceFile(Strict):
    """Everything in the file."""

    source: Annotated[str, Field(max_length=1000)]
    date: datetime.date
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = "USD"
    prices: Prices
    machines: dict[Name, Machine] = Field(min_length=1, max_length=MOST_MACHINES)

    @model_validator(mode="after")
    def _complete(self) -> "PriceFile":
        for name, machine in self.machines.items():
            if name != HERE:
                missing = [
                    one for one in ("cores", "memory_gb", "speed", "gflops_per_core") if not getattr(machine, one)
                ]
                if missing:
                    raise ValueError(f"machine {name} needs {', '.join(missing)}")
            if machine.rest is not None and (machine.rest not in self.machines or self.machines[machine.rest].rest):
                raise ValueError(f"machine {name}: rest {machine.rest} is no machine without an accelerator of its own")
            if machine.accelerator and machine.accelerator not in self.prices.accelerator_hour and machine.hour is None:
                raise ValueError(
                    f"machine {name}: {machine.accelerator} is not in prices.accelerator_hour (null: not known)"
                )
        return self

    def machine(self, name: str) -> Machine:
        if name not in self.machines:
            raise ValueError(f"there is no machine {name!r}; there is {', '.join(self.machines)}")
        return self.machines[name]

    def hour(self, machine: Machine) -> tuple[float, list[str]]:
        """The price of one machine for an hour, and which of its parts have none."""
        if machine.hour is not None:
            return machine.hour, []
        assert machine.cores and machine.memory_gb, "checked when the file was read"
        prices = self.prices
        parts = {
            "vcpu_hour": (prices.vcpu_hour, machine.cores),
            "memory_gb_hour": (prices.memory_gb_hour, machine.memory_gb),
            "disk_gb_hour": (prices.disk_gb_hour, machine.disk_gb),
        }
        if machine.accelerator:
            parts[machine.accelerator] = prices.accelerator_hour.get(machine.accelerator), machine.accelerators
        known = sum(price * count for price, count in parts.values() if price is not None)
        return known, [name for name, (price, _) in parts.items() if price is None]


def read_prices(path: str | None = None) -> PriceFile:
    """The shipped price file, or one by path or URL.

    Raises FileNotFoundError, and ValueError for anything that is not a price file: it says where and why.
    """
    place = path or str(SHIPPED)
    if storage.info(place).size > plain_yaml.MOST_BYTES:
        raise ValueError(f"{place} is larger than a price file can be ({plain_yaml.MOST_BYTES:,} bytes)")
    try:
        found = plain_yaml.load(storage.read_bytes(place))
        return PriceFile.model_validate(found)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        message = f"{where + ': ' if where else ''}{first['msg'].removeprefix('Value error, ')}{more}"
        raise ValueError(f"price file {place}: {message}") from None
    except (yaml.YAMLError, ValueError) as error:
        raise ValueError(f"price file {place}: {str(error) or type(error).__name__}") from None
