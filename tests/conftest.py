"""What all tests share. Nothing heavy is imported here: collecting stays quick."""

import functools
import os
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

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
def signatures_are_read_once() -> Iterator[None]:
    """A third of a small job is Beam reading the signatures of all methods of each DoFn, eight times over."""
    if "apache_beam" not in sys.modules:
        yield
        return
    from apache_beam.transforms import core

    plain = core.get_function_args_defaults
    of_method = functools.cache(lambda function: plain(types.MethodType(function, object())))

    def remembered(function: Callable) -> tuple[list[str], list]:
        if not isinstance(function, types.MethodType):
            return plain(function)
        args, defaults = of_method(function.__func__)
        return list(args), list(defaults)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(core, "get_function_args_defaults", remembered)
        yield
