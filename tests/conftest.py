"""What tests of several packages need."""

from pathlib import Path

import pytest

from tests.authority import Authority


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """A certificate authority that nobody trusts but who is told to."""
    return Authority(tmp_path)
