"""A router's state as the supervisor would fill it, without processes."""

from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
import pytest

from smartlb.admin.state import ProcessStatus, RouterState
from smartlb.admin.traffic import Traffic
from smartlb.config.model import Config
from smartlb.config.numbering import Numbering
from smartlb.control.ejection import Ejector
from smartlb.control.eligibility import Eligibility
from smartlb.control.health import HealthChecker
from smartlb.core.record import RECORD, Records
from smartlb.core.segment import Layout, Segment
from smartlb.core.snapshot import Snapshot

MakeRecords = Callable[..., Records]


@pytest.fixture
def make_records() -> MakeRecords:
    """Builds records: complete with status 200 at backend 0 unless said otherwise."""

    def make(*rows: dict[str, Any]) -> Records:
        records = np.zeros(len(rows), dtype=RECORD)
        for record, row in zip(records, rows, strict=True):
            for name, value in {"status": 200, "attempt": 1, **row}.items():
                record[name] = value
        return records

    return make


@pytest.fixture
def config() -> Config:
    return Config.model_validate(
        {
            "listeners": [{"bind": "127.0.0.1:0"}],
            "pools": {
                "web": {
                    "backends": [
                        {"name": "a", "address": "127.0.0.1:1"},
                        {"name": "b", "address": "127.0.0.1:2"},
                    ],
                    "health_check": {},
                    "policy": "learned",
                },
                "api": {"backends": ["127.0.0.1:3"], "policy": "round_robin"},
            },
            "routes": [{"name": "pages", "pool": "web"}, {"name": "calls", "pool": "api"}],
            "request_classes": [{"name": "search", "match": {"route": "pages"}}],
            "workers": 2,
        }
    )


@pytest.fixture
def numbering(config: Config) -> Numbering:
    return Numbering(config)


@pytest.fixture
def state(config: Config, numbering: Numbering) -> RouterState:
    """Two workers and a learner that run, no snapshot yet, no traffic yet; the time is 100."""
    layout = Layout(workers=2, backends=3, classes=2, ring_capacity=4)
    segment = Segment(memoryview(bytearray(layout.size)), layout)
    eligibility = Eligibility(segment, numbering)
    return RouterState(
        config=config,
        numbering=numbering,
        segment=segment,
        traffic=Traffic(numbering),
        eligibility=eligibility,
        health=HealthChecker(config, numbering, eligibility.set_health, Random(1)),
        ejector=Ejector((numbering.pools[name], pool.ejection) for name, pool in config.pools.items()),
        workers=[
            ProcessStatus(pid=11, alive=True),
            ProcessStatus(pid=12, alive=True, restarts=1),
        ],
        learner=ProcessStatus(pid=13, alive=True, restarts=2),
        telemetry_lost=lambda: 7,
        started_s=40.0,
        clock=lambda: 100.0,
    )


@pytest.fixture
def snapshot() -> Snapshot:
    """Published at 99.5, half a second before the time of `state`."""
    return Snapshot(
        version=5,
        published_s=99.5,
        weight=np.array([[0.75, 0.25, 1.0], [0.5, 0.5, 1.0]]),
        explore=np.zeros((2, 3)),
        base_s=np.array([[0.010, 0.020, 0.5], [0.030, 0.040, 0.5]]),
        slope_s=np.full((2, 3), 0.001),
        error_rate=np.zeros((2, 3)),
        samples=1000,
        drifts=3,
    )
