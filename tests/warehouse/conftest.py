"""Shared by the tests of the warehouse."""

from collections.abc import Iterator

import pytest

from tests.warehouse.staged import close_stagings


@pytest.fixture(scope="package", autouse=True)
def shared_stagings() -> Iterator[None]:
    """Close the stagings that tests share when the last test has ended."""
    yield
    close_stagings()
