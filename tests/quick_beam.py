"""What Beam works out anew for every job and what never changes is worked out once for each test process.

A tiny job takes 0.2 s, whatever its data; the suite runs some thousands. Nothing here changes what a job does.
"""

import argparse
import contextlib
import functools
import os
import types
from collections.abc import Callable, Iterator
from typing import Any

import pytest


def _signature_of_each_method(patch: pytest.MonkeyPatch) -> None:
    """Beam reads the signatures of all methods of each DoFn, eight times over."""
    from apache_beam.transforms import core

    plain = core.get_function_args_defaults
    of_method = functools.cache(lambda function: plain(types.MethodType(function, object())))

    def remembered(function: Callable) -> tuple[list[str], list]:
        if not isinstance(function, types.MethodType):
            return plain(function)
        args, defaults = of_method(function.__func__)
        return list(args), list(defaults)

    patch.setattr(core, "get_function_args_defaults", remembered)


def _state_of_each_class(patch: pytest.MonkeyPatch) -> None:
    """Whether a DoFn has state is in its class and in the methods that it was given."""
    from apache_beam.transforms import userstate

    plain, of_class = userstate.get_dofn_specs, {}

    def remembered(dofn: Any) -> Any:
        given = (value.__func__ for value in vars(dofn).values() if isinstance(value, types.MethodType))
        key = (type(dofn), *given)
        if key not in of_class:
            of_class[key] = plain(dofn)
        return of_class[key]

    patch.setattr(userstate, "get_dofn_specs", remembered)


def _yields_of_each_function(patch: pytest.MonkeyPatch) -> None:
    """Beam warns of functions that both yield and return: it finds their source and reads it."""
    from apache_beam.transforms import core

    plain, of_code = core._check_fn_use_yield_and_return, {}

    def remembered(function: Any) -> bool:
        code = getattr(function, "__code__", None)
        if code is None:
            return plain(function)
        if code not in of_code:
            of_code[code] = plain(function)
        return of_code[code]

    patch.setattr(core, "_check_fn_use_yield_and_return", remembered)


def _origins_of_types(patch: pytest.MonkeyPatch) -> None:
    """Each type hint remembers the stack of where it was given, with the lines of its source."""
    from apache_beam.typehints.decorators import IOTypeHints

    plain = IOTypeHints._make_origin
    without = staticmethod(lambda bases, tb=True, msg=(): plain(bases, False, msg))
    patch.setattr(IOTypeHints, "_make_origin", without)


def _parsers_of_options(patch: pytest.MonkeyPatch) -> None:
    """Each view of options is a parser, whose arguments ask how wide the terminal is and which language it speaks."""
    from apache_beam.options.pipeline_options import PipelineOptions, _BeamArgumentParser

    def names(options: PipelineOptions) -> list[str]:
        return [name for name in vars(options._visible_options) if name[0] != "_"]

    patch.setattr(PipelineOptions, "_visible_option_list", names)
    formatter = argparse.HelpFormatter("")
    patch.setattr(_BeamArgumentParser, "_get_formatter", lambda parser: formatter)
    patch.setattr(argparse, "_", functools.cache(argparse._))


def _no_waiting_for_the_disk(patch: pytest.MonkeyPatch) -> None:
    """A killed process loses nothing that was written; only a machine without power does."""
    patch.setattr(os, "fsync", lambda descriptor: None)


CHANGES = (
    _signature_of_each_method,
    _state_of_each_class,
    _yields_of_each_function,
    _origins_of_types,
    _parsers_of_options,
    _no_waiting_for_the_disk,
)


@contextlib.contextmanager
def quickened() -> Iterator[None]:
    """Inside, jobs of this process start in less than half the time."""
    with pytest.MonkeyPatch.context() as patch:
        for change in CHANGES:
            change(patch)
        yield
