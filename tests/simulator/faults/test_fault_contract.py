"""What every kind of fault of the registry promises, and what several at once add up to."""

from math import inf, isfinite
from typing import Any

import annotated_types
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from simulator.faults.condition import WELL, Change, Condition, Spell, changes
from simulator.faults.fault import Fault
from simulator.faults.registry import FAULTS, AnyFault

REQUIRED: dict[str, Any] = {"ends_s": 40.0}
"""A value for every field that some fault needs, besides its kind and its backends."""

contract = settings(deadline=None, max_examples=40, derandomize=True)
every_fault = pytest.mark.parametrize("kind", FAULTS)


def minimal(kind: str) -> dict[str, Any]:
    needed = [name for name, field in FAULTS[kind].model_fields.items() if field.is_required()]
    return {"kind": kind, "backends": ["a"], **{name: REQUIRED[name] for name in needed if name != "kind"}}


def bounds(metadata: list[Any]) -> tuple[float, float]:
    """Where a number may be, away from the edges that it may not touch."""
    least, most = 0.05, 50.0
    for bound in metadata:
        match bound:
            case annotated_types.Gt(gt):
                least = max(least, float(gt) * 1.01)  # type: ignore[arg-type]
            case annotated_types.Ge(ge):
                least = max(least, float(ge))  # type: ignore[arg-type]
            case annotated_types.Lt(lt):
                most = min(most, float(lt) * 0.99)  # type: ignore[arg-type]
            case annotated_types.Le(le):
                most = min(most, float(le))  # type: ignore[arg-type]
    return least, most


@st.composite
def faults(draw: st.DrawFn, kind: str) -> Fault:
    """Any fault of a kind."""
    fields: dict[str, Any] = {"kind": kind, "backends": ["a"], "starts_s": draw(st.floats(0.0, 50.0))}
    ends_s = fields["starts_s"] + draw(st.floats(0.1, 50.0))
    if FAULTS[kind].model_fields["ends_s"].is_required() or draw(st.booleans()):
        fields["ends_s"] = ends_s
    for name, field in FAULTS[kind].model_fields.items():
        if name in ("kind", "backends", "random", "starts_s", "ends_s") or draw(st.booleans()):
            continue
        least, most = bounds(field.metadata)
        whole = field.annotation is int
        fields[name] = draw(st.integers(1, 3) if whole else st.floats(least, most))
    try:
        return FAULTS[kind].model_validate(fields)
    except ValidationError as invalid:
        # Fields that do not go together; every single one of them is good.
        assume(all(error["type"] != "value_error" for error in invalid.errors()))
        raise


indices = st.lists(st.integers(0, 9), min_size=1, max_size=4, unique=True)


def spells_of(fault: Fault, backends: list[int], seed: int) -> list[Spell]:
    return list(fault.spells(backends, np.random.default_rng(seed)))


def check_condition(condition: Condition) -> None:
    assert isfinite(condition.speed)
    assert condition.speed >= 0.0
    assert 0.0 <= condition.fail <= 1.0
    assert 0.0 <= condition.tail <= 1.0
    assert isfinite(condition.tail_factor)
    assert condition.tail_factor >= 1.0


def test_the_section_of_a_scenario_knows_every_kind() -> None:
    section: TypeAdapter[Fault] = TypeAdapter(AnyFault)
    for kind, fault in FAULTS.items():
        assert type(section.validate_python(minimal(kind))) is fault


@every_fault
class TestFields:
    def test_the_least_is_enough(self, kind: str) -> None:
        assert spells_of(FAULTS[kind].model_validate(minimal(kind)), [3], 0)

    def test_have_a_description(self, kind: str) -> None:
        for name, field in FAULTS[kind].model_fields.items():
            assert field.description, name

    @pytest.mark.parametrize(
        "wrong",
        [
            {"kind": "other"},
            {"no_such_field": 1},
            {"starts_s": "1"},
            {"starts_s": -1.0},
            {"starts_s": inf},
            {"backends": []},
            {"backends": [], "random": 0},
            {"random": 1},  # besides backends
            {"backends": "a"},
            {"starts_s": 50.0, "ends_s": 50.0},
            {"starts_s": 50.0, "ends_s": 40.0},
        ],
        ids=str,
    )
    def test_are_checked(self, kind: str, wrong: dict[str, Any]) -> None:
        with pytest.raises(ValidationError):
            FAULTS[kind].model_validate({**minimal(kind), **wrong})

    def test_cannot_be_changed(self, kind: str) -> None:
        fault = FAULTS[kind].model_validate(minimal(kind))
        with pytest.raises(ValidationError, match="frozen"):
            fault.starts_s = 1.0


@every_fault
def test_spells_are_of_the_given_backends_within_the_given_time(kind: str) -> None:
    @contract
    @given(faults(kind), indices, st.integers(0, 99))
    def check(fault: Fault, backends: list[int], seed: int) -> None:
        for spell in spells_of(fault, backends, seed):
            assert spell.backend in backends
            assert 0.0 <= spell.starts_s < spell.ends_s
            check_condition(spell.condition)
            assert spell.condition != WELL
            if not beyond(fault, spell):
                assert fault.starts_s <= spell.starts_s < fault.end_s
                assert spell.ends_s <= fault.end_s * (1.0 + 1e-12)

    check()


def beyond(fault: Fault, spell: Spell) -> bool:
    """Whether a spell is outside of its fault's time, as documented."""
    of: Any = fault
    match of.kind:
        case "cold_start":
            # It joins at the start, leaves at the end, and may do so before it is warm.
            absent = spell.condition.absent and (spell.ends_s <= of.starts_s or spell.starts_s >= of.end_s)
            return bool(
                absent or (of.starts_s <= spell.starts_s and spell.ends_s <= (of.starts_s + of.warms_up_s) * 1.001)
            )
        case "leak":
            restarted_s = pytest.approx(of.ends_s + of.restart_s)
            return bool(spell.condition == Condition(crashed=True) and spell.ends_s == restarted_s)
        case "pause":
            # One that has begun goes on.
            return bool(of.starts_s <= spell.starts_s < of.end_s)
        case _:
            return False


@every_fault
def test_the_draws_decide_and_nothing_else(kind: str) -> None:
    @contract
    @given(faults(kind), indices, st.integers(0, 99))
    def check(fault: Fault, backends: list[int], seed: int) -> None:
        assert spells_of(fault, backends, seed) == spells_of(fault, backends, seed)

    check()


@every_fault
def test_a_fault_leaves_its_backends_in_a_condition_that_is_not_well_and_others_alone(kind: str) -> None:
    @contract
    @given(faults(kind), indices, st.integers(0, 99))
    def check(fault: Fault, backends: list[int], seed: int) -> None:
        found = changes(spells_of(fault, backends, seed))
        # An antagonist may come to see only some of them.
        touched = {change.backend for change in found}
        assert touched == set(backends) if kind not in ("antagonist", "pause") else touched <= set(backends)
        check_changes(found)

    check()


# Several at once

exact_conditions = st.builds(
    Condition,
    speed=st.sampled_from([1.0, 0.5, 0.25, 0.0]),
    crashed=st.booleans(),
    hanging=st.booleans(),
    absent=st.booleans(),
    fail=st.sampled_from([0.0, 0.25, 0.5, 1.0]),
    tail=st.sampled_from([0.0, 0.5, 1.0]),
    tail_factor=st.sampled_from([1.0, 2.0, 10.0]),
)
"""Whose products are exact, so that their order cannot show in the last digit."""

any_conditions = st.builds(
    Condition,
    speed=st.floats(0.0, 2.0),
    crashed=st.booleans(),
    fail=st.floats(0.0, 1.0),
    tail=st.floats(0.0, 1.0),
    tail_factor=st.floats(1.0, 100.0),
)


@st.composite
def spell(draw: st.DrawFn, conditions: st.SearchStrategy[Condition]) -> Spell:
    starts_s = draw(st.integers(0, 8))
    ends_s = draw(st.integers(starts_s + 1, 9) | st.just(inf))
    return Spell(draw(st.integers(0, 2)), float(starts_s), float(ends_s), draw(conditions))


def condition_at(found: list[Change], backend: int, at_s: float) -> Condition:
    before = [change for change in found if change.backend == backend and change.at_s <= at_s]
    return before[-1].condition if before else WELL


def check_changes(found: list[Change]) -> None:
    keys = [(change.at_s, change.backend) for change in found]
    assert keys == sorted(set(keys)), "ascending, and one a time and backend"
    latest: dict[int, Condition] = {}
    for change in found:
        assert 0.0 <= change.at_s < inf
        check_condition(change.condition)
        assert change.condition != latest.get(change.backend, WELL), "a change changes something"
        latest[change.backend] = change.condition


@contract
@given(st.lists(spell(any_conditions), max_size=6))
def test_whatever_comes_together_is_a_condition(spells: list[Spell]) -> None:
    check_changes(changes(spells))


@contract
@given(st.lists(spell(exact_conditions), max_size=6), st.randoms(use_true_random=False))
def test_the_order_of_faults_does_not_matter(spells: list[Spell], chance: Any) -> None:
    shuffled = list(spells)
    chance.shuffle(shuffled)
    assert changes(shuffled) == changes(spells)


@contract
@given(st.lists(spell(exact_conditions), max_size=6), st.integers(0, 2), st.floats(0.0, 10.0))
def test_a_condition_is_that_of_the_spells_of_that_time(spells: list[Spell], backend: int, at_s: float) -> None:
    holding = [of.condition for of in spells if of.backend == backend and of.starts_s <= at_s < of.ends_s]
    found = condition_at(changes(spells), backend, at_s)
    if not holding:
        assert found == WELL
        return
    assert found.speed == np.prod([condition.speed for condition in holding])
    assert found.crashed == any(condition.crashed for condition in holding)
    assert found.hanging == any(condition.hanging for condition in holding)
    assert found.absent == any(condition.absent for condition in holding)
    assert found.fail == 1.0 - np.prod([1.0 - condition.fail for condition in holding])
    assert found.tail == 1.0 - np.prod([1.0 - condition.tail for condition in holding])
    assert found.tail_factor == max(condition.tail_factor for condition in holding)


@contract
@given(exact_conditions, exact_conditions, exact_conditions)
def test_joining_has_the_laws_of_a_sum(first: Condition, second: Condition, third: Condition) -> None:
    assert first.joined(WELL) == WELL.joined(first) == first
    assert first.joined(second) == second.joined(first)
    assert first.joined(second).joined(third) == first.joined(second.joined(third))


def test_one_change_where_one_spell_ends_and_the_next_begins() -> None:
    slow, failing = Condition(speed=0.5), Condition(fail=0.5)
    spells = [Spell(0, 1.0, 2.0, slow), Spell(0, 2.0, 3.0, failing), Spell(1, 2.0, inf, slow), Spell(0, 3.0, 4.0, WELL)]
    assert changes(spells) == [
        Change(1.0, 0, slow),
        Change(2.0, 0, failing),
        Change(2.0, 1, slow),
        Change(3.0, 0, WELL),
    ]


def test_a_spell_that_follows_an_equal_one_changes_nothing() -> None:
    slow = Condition(speed=0.5)
    assert changes([Spell(0, 1.0, 2.0, slow), Spell(0, 2.0, 3.0, slow)]) == [Change(1.0, 0, slow), Change(3.0, 0, WELL)]


@pytest.mark.parametrize(
    ("condition", "passes"),
    [
        (WELL, True),
        (Condition(speed=0.01, fail=1.0, tail=1.0, tail_factor=9.0, absent=True), True),
        (Condition(crashed=True), False),
        (Condition(hanging=True), False),
        (Condition(speed=0.0), False),
    ],
)
def test_who_answers_a_health_check(condition: Condition, passes: bool) -> None:
    assert condition.passes_checks is passes
