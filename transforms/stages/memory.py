"""How much memory a worker needs, in bytes: what a stage asks for as Beam's min_ram.

Each formula is for one process that works at one thing at a time. The tests compare them with what is really allocated.
"""

from sluice.models.clustering import two_level

# A worker's system (up to 1 GB on Dataflow, its documentation says) and a process with Beam, Arrow and NumPy (0.2 GB
# measured), with room for the columns of a unit.
PROCESS = 3 << 29
# JAX, its compiled programs and their activations: 0.9 GB measured with a model of 0.1 GB.
MODEL_RUNTIME = 1 << 30
# Weights are read, turned into a tree, and copied to the device.
WEIGHT_COPIES = 3
# Where SemDeDup's records are besides: their units, clusters, order, results, and the results in order.
RECORD_COLUMNS = 72


def embedding(*, weights: int, window_characters: int) -> int:
    """A model of so many bytes (0: vectors are given) over windows of text, of which three wait while one is embedded.

    A character of a Python string takes up to 4 bytes.
    """
    model = MODEL_RUNTIME + WEIGHT_COPIES * weights if weights else 0
    return PROCESS + model + 4 * 4 * window_characters


def scoring(*, bin_bytes: int, record_bytes: int, point_bytes: int, dimension: int) -> int:
    """A bin of records, the copies of its vectors that products need, and what is known of each record."""
    records = max(bin_bytes // record_bytes, 1)
    vectors = records * dimension * (2 + point_bytes)
    return PROCESS + records * record_bytes + vectors + records * RECORD_COLUMNS


def training(*, sample: int, dimension: int, k: int) -> int:
    """k-means over a sample, by one worker."""
    return PROCESS + two_level.training_bytes(sample=sample, dimension=dimension, k=k)


def training_in_two_levels(*, trainer_bytes: int, dimension: int, k: int) -> int:
    """k-means in two levels: one training at a time, or all centroids as int16, joined and as float32 for an index."""
    return PROCESS + max(trainer_bytes, 8 * k * dimension)


def assignment(*, k: int, dimension: int, run_bytes: int) -> int:
    """Centroids as stored, as float32 and turned for the product; a run of vectors in pieces, joined, and being sorted.

    Each cluster has four counts besides, as numbers and as bytes.
    """
    return PROCESS + k * dimension * (2 + 4 + 4) + 3 * run_bytes + k * 4 * (8 + 8 + 8)
