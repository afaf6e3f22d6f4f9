"""What all tests share. Nothing heavy is imported here: collecting stays quick."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import quick_beam

# Before any test imports them: TensorFlow logs only errors, and JAX looks for no accelerator where there is none.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
ACCELERATORS = ("/dev/nvidia0", "/dev/accel0", "/dev/vfio/0", "/dev/kfd")
if not any(Path(device).exists() for device in ACCELERATORS):
    os.environ.setdefault("JAX_PLATFORMS", "cpu")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of larger corpora kept beside the repository; the test is skipped where it is not."""
    folder = Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the larger corpora are not on this machine")
    return folder


@pytest.fixture(scope="session", autouse=True)
def jobs_start_quickly() -> Iterator[None]:
    if "apache_beam" in sys.modules:
        with quick_beam.quickened():
            yield
    else:
        yield
