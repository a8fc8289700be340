"""What tests of several packages need."""

from pathlib import Path

import pytest
from hypothesis import settings

from tests.authority import Authority

# The same examples each time, however slow the machine is: a test that fails has found something in the change at hand.
# `make fuzz` looks for new ones.
settings.register_profile("tests", derandomize=True, deadline=None)
settings.load_profile("tests")


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """A certificate authority that nobody trusts but who is told to."""
    return Authority(tmp_path)
