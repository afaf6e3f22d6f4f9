"""Engines that start processes of their own take minutes: they run when asked for by name, with `-m engines`."""

import pytest


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "engines: brings up servers, takes minutes; runs only with -m engines")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if "engines" in config.getoption("markexpr"):
        return
    skip = pytest.mark.skip(reason="takes minutes: `make engines`, or pytest -m engines")
    for item in items:
        if "engines" in item.keywords and item.get_closest_marker("engines"):
            item.add_marker(skip)
