"""How fast the machine that plans is: cores, memory, matrix products, and everything else beside shipped rates."""

import functools
import os
import time
from dataclasses import dataclass

import numpy as np

from sluice.models.arrays import hashing
from sluice.models.arrays.parallel import cores, parallel
from sluice.pipelines.plan.prices import Machine

# A turn of the loop takes 20 ms, so that half of them can meet other work on the machine.
TURNS, LOOP_TURNS = 3, 25
SIZE, INNER = 2048, 384


@dataclass(frozen=True)
class Speed:
    """flops: float32 operations a core-second in plain products; loop_seconds: core-seconds of `_loop`."""

    cores: int
    memory_gb: float
    flops: float
    loop_seconds: float

    def machine(self, row: Machine, reference: float) -> Machine:
        """The row of the price file with what it leaves open filled in. reference: loop_seconds at speed 1."""
        found = {
            "cores": self.cores,
            "memory_gb": self.memory_gb,
            "speed": reference / self.loop_seconds,
            "gflops_per_core": self.flops / 1e9,
        }
        return row.model_copy(update={name: value for name, value in found.items() if getattr(row, name) is None})


@functools.cache
def measure_speed() -> Speed:
    """Takes a second. Processor time, so that other work on the machine changes little; the best of several."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return Speed(cores(), pages / 1e9, max(_products() for _ in range(TURNS)), min(_loop() for _ in range(LOOP_TURNS)))


def _products() -> float:
    left, right = (np.random.default_rng(seed).random((SIZE, INNER), np.float32) for seed in (0, 1))
    started = time.process_time()
    count = sum(1 for _ in parallel(lambda _: left @ right.T, range(cores())))
    return 2.0 * SIZE * SIZE * INNER * count / (time.process_time() - started)


def _loop() -> float:
    """Sorting in NumPy and hashing strings one by one: what stages do beside products."""
    numbers = np.random.default_rng(0).integers(0, 1 << 40, 500_000)
    started = time.process_time()
    np.sort(numbers)
    for number in range(20_000):
        hashing.id_hash(f"document-{number}")
    return time.process_time() - started
