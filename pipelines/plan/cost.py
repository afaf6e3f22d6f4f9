"""A stage's work on a number of machines: how long it takes, and what that costs."""

import math
from dataclasses import dataclass, replace

from sluice.models.forecast.ranges import ZERO, Range, total
from sluice.pipelines.plan.forecast import Work
from sluice.pipelines.plan.prices import HERE, Machine, PriceFile

# Products on all cores at once, beside one core alone: they wait for one another and for memory.
TOGETHER = Range(0.95, 0.8, 0.6)
# Share of an accelerator's data sheet that an embedder reaches: none was measured.
DEVICE_SHARE = Range(0.45, 0.25, 0.1)
# Speeds of machines that nothing was measured on.
ELSEWHERE = Range(0.7, 1.0, 1.6)
MB, GB = 1e6, 1e9


@dataclass(frozen=True)
class Cost:
    """A stage on `workers` machines of a kind: core-seconds there, seconds by the clock, and in the price file's
    currency what the machines and the shuffle cost.
    """

    work: Work
    machine: str
    workers: int
    core_seconds: Range
    seconds: Range
    compute: Range
    shuffle: Range

    @property
    def cost(self) -> Range:
        return self.compute.plus(self.shuffle)


@dataclass(frozen=True)
class Fleet:
    """At most `workers` machines of a row of the price file, which is `name`; locally processes on one machine.

    here: whether speeds were measured on it.
    """

    name: str
    machine: Machine
    workers: int
    here: bool
    prices: PriceFile

    @property
    def cores(self) -> int:
        assert self.machine.cores is not None
        return self.machine.cores

    def cost(self, work: Work) -> Cost:
        """What one stage takes. An embedding stage uses the accelerator where there is one."""
        machine = self.machine
        assert machine.speed and machine.gflops_per_core
        elsewhere = Range.exactly(1.0) if self.here else ELSEWHERE
        local = machine.kind == "local"
        seconds, alone = (one.times(1 / machine.speed).times(elsewhere) for one in (work.seconds, work.alone))
        rate = machine.gflops_per_core * GB
        flops, trained = (one.times(1 / rate).times(elsewhere) for one in (work.flops, work.trained))
        processes = 1 if machine.accelerator else self.cores
        if local:
            used, workers, cores = 1, min(self.workers, self.cores), self.cores
        else:
            used = min(self.workers, max(math.ceil(work.tasks / processes), 1))
            workers, cores = used * processes, used * self.cores
        spread = max(min(workers, work.tasks), 1.0)
        product_cores = cores if local else max(min(cores, work.tasks * self.cores / processes), 1)
        wall = seconds.times(1 / spread).plus(alone)
        wall = wall.plus(_together(trained, self.cores))
        core_seconds = total([seconds, alone, trained])
        if machine.accelerator and work.device_flops.high:
            busy = self.accelerated(work.device_flops, work.host)
            wall = wall.plus(busy.times(1 / max(min(used, work.tasks), 1.0)))
            core_seconds = core_seconds.plus(work.host.times(1 / machine.speed).times(elsewhere))
        else:
            wall = wall.plus(_together(flops, product_cores))
            core_seconds = core_seconds.plus(flops)
        wall = wall.plus(machine.start) if work.stage != "report" else wall
        hour, _ = self.prices.hour(machine)
        compute = wall.times(hour * used / 3600)
        shuffle = ZERO if local else work.shuffled.times((self.prices.prices.shuffle_gb or 0.0) / GB)
        return Cost(work, self.name, self.workers if local else used, core_seconds, wall, compute, shuffle)

    def accelerated(self, flops: Range, host: Range) -> Range:
        """Seconds of one machine with an accelerator for a model's operations, and for core-seconds of tokenization at
        speed 1 beside them.
        """
        machine = self.machine
        assert machine.tflops and machine.speed
        device = flops.times(1 / (machine.tflops * machine.accelerators * 1e12)).over(
            Range(DEVICE_SHARE.high, DEVICE_SHARE.likely, DEVICE_SHARE.low)
        )
        elsewhere = Range.exactly(1.0) if self.here else ELSEWHERE
        return device.at_least(_together(host.times(1 / machine.speed).times(elsewhere), self.cores))

    def without_price(self) -> list[str]:
        """What the price file has no price for."""
        missing = self.prices.hour(self.machine)[1]
        if self.machine.kind == "dataflow" and self.prices.prices.shuffle_gb is None:
            missing.append("shuffle_gb")
        return missing


def _together(seconds: Range, cores: float) -> Range:
    """Core-seconds of products on several cores, by the clock."""
    if cores <= 1:
        return seconds
    return Range(*(value / (cores * share) for value, share in zip(seconds, TOGETHER)))


def make_fleets(prices: PriceFile, name: str, machine: Machine, workers: int) -> tuple[Fleet, Fleet]:
    """The machines of the embeddings stage, and those of every other one."""
    fleet = Fleet(name, machine, workers, name == HERE, prices)
    if machine.rest is None:
        return fleet, fleet
    return fleet, replace(fleet, name=machine.rest, machine=prices.machine(machine.rest))


def cost_all(works: list[Work], fleets: tuple[Fleet, Fleet]) -> list[Cost]:
    """Every stage on its machines; the report is made where the command runs, so on one of the plain ones."""
    return [fleets[0 if work.stage == "embeddings" else 1].cost(work) for work in works]
