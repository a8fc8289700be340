"""From the numbers of one configuration to those of another."""

from typing import Any

import numpy as np

from smartlb.config.model import Config
from smartlb.config.numbering import GONE, Numbering, Renumbering
from smartlb.core.record import NO_BACKEND, NO_ROUTE, RECORD


def numbering(pools: dict[str, list[Any]], classes: list[str] = [], routes: list[str] | None = None) -> Numbering:  # noqa: B006
    first = next(iter(pools))
    return Numbering(
        Config.model_validate(
            {
                "listeners": [{"bind": "127.0.0.1:0"}],
                "pools": {name: {"backends": backends} for name, backends in pools.items()},
                "routes": [{"name": name, "pool": first} for name in routes or ["all"]],
                "request_classes": [{"name": name, "match": {}} for name in classes],
            }
        )
    )


OLD = numbering(
    {"web": [{"name": "a", "address": "h:1"}, {"name": "b", "address": "h:2"}, "h:3"], "api": ["h:1"]},
    ["search", "upload"],
    ["pages", "calls"],
)
NEW = numbering(
    {"api": ["h:1"], "web": ["h:3", {"name": "a", "address": "h:9"}, {"name": "c", "address": "h:2"}]},
    ["upload"],
    ["more", "pages"],
)


def test_what_has_the_same_name_is_the_same() -> None:
    between = Renumbering(OLD, NEW)
    assert between.backends.tolist() == [2, GONE, 1, 0]
    assert between.classes.tolist() == [0, GONE, 1]
    assert between.routes.tolist() == [1, GONE]
    assert between.servers == [(2, 1), (3, 0)], "a has another address now"


def test_records_get_the_new_numbers() -> None:
    records = np.zeros(5, dtype=RECORD)
    records["backend"] = [0, 1, 2, 3, NO_BACKEND]
    records["route"] = [0, 0, 1, 0, NO_ROUTE]
    records["request_class"] = [2, 0, 1, 0, 0]
    before = records.copy()
    renumbered = Renumbering(OLD, NEW).records(records)
    assert renumbered["backend"].tolist() == [2, 1, 0, NO_BACKEND]
    assert renumbered["route"].tolist() == [1, NO_ROUTE, 1, NO_ROUTE]
    assert renumbered["request_class"].tolist() == [1, 0, 0, 0]
    assert (records == before).all()
    assert (Renumbering(OLD, OLD).records(records) == before).all()


def test_what_was_at_a_backend_that_is_gone_is_left_out_and_can_be_had() -> None:
    between = Renumbering(OLD, NEW)
    records = np.zeros(3, dtype=RECORD)
    records["backend"] = [0, 1, NO_BACKEND]
    assert between.left_out(records)["backend"].tolist() == [1]
    assert between.records(records)["backend"].tolist() == [2, NO_BACKEND]
