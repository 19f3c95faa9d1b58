"""The pytest plugin: the fixture `kplan_cluster` (docs/testing.md). kplan itself is imported when it is used."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from kplan.testing import SimulatedCluster


@pytest.fixture
def kplan_cluster(tmp_path: Path) -> SimulatedCluster:
    """Return an empty simulated cluster of three brokers with a Connect worker: no server is needed to test stacks."""
    from kplan.testing import SimulatedCluster

    return SimulatedCluster(tmp_path / "kplan")
