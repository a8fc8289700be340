import re
from html.parser import HTMLParser
from math import inf
from typing import Any

import numpy as np
import pytest

from simulator.faults.condition import Change, Condition
from simulator.measures.cast import Cast
from simulator.measures.curves import curves
from simulator.measures.figures import figures
from simulator.report.html import LINES, About, page
from simulator.result import Bar, Run, Trouble
from tests.simulator.measures.made import busy_run, made_log, made_run, table_of

VOID = {"meta", "br", "hr", "img", "input", "link"}
HOSTILE = "<script>alert('$x$ & \"y\"')</script>"


class Checker(HTMLParser):
    """Collects what is wrong with a page's structure, its text, and where it refers to."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.ids: list[str] = []
        self.refers: list[str] = []
        self.tags: list[str] = []
        self.text: list[str] = []
        self.unlabelled = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._take(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._take(tag, attrs)

    def _take(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        found = dict(attrs)
        self.ids += [found["id"] or ""] if "id" in found else []
        self.refers += [value or "" for name, value in attrs if name in ("href", "src", "xlink:href", "clip-path")]
        self.unlabelled += tag == "svg" and not found.get("aria-label")

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def checked(html: str) -> Checker:
    checker = Checker()
    checker.feed(html)
    checker.close()
    assert checker.open == []
    return checker


def render(runs: list[Run], **options: Any) -> str:
    return page([figures(run) for run in runs], [curves(run) for run in runs], **options)


def troubled(policy: str, seed: int = 1) -> Run:
    return busy_run(
        policy,
        seed,
        scenario="troubled",
        mean_ms=10.0 if policy == "clairvoyant" else 20.0,
        troubles=[Trouble("slow a", 5.0, 10.0), Trouble("leak b", 12.0, inf), Trouble("late", 99.0, inf)],
        changes=[Change(5.0, 0, Condition(speed=0.5))],
        bars=[Bar(at / 2, 0, at % 2 == 1, "ejected: 5 failures") for at in range(40)],
    )


@pytest.fixture(scope="module")
def html() -> str:
    runs = [troubled(policy, seed) for policy in ("learned", "clairvoyant", "c3") for seed in (1, 2)]
    return render(
        [*runs, busy_run(scenario="calm"), busy_run("random", scenario="calm")],
        cast=Cast(references=frozenset({"c3"})),
        about={"calm": About("Nothing goes wrong.", "the stand-in <of> a trace")},
        facts={"smartlb": "1.2.3", "seeds": "1, 2"},
        title="A & B",
    )


def test_it_is_well_formed_and_every_picture_has_a_text(html: str) -> None:
    found = checked(html)

    assert found.tags.count("svg") == 7  # four and three: calm has nothing to regret
    assert found.unlabelled == 0
    assert len(set(found.ids)) == len(found.ids)


def test_it_refers_to_nothing_outside(html: str) -> None:
    found = checked(html)
    inner = {f"#{name}" for name in found.ids}
    referred = {re.sub(r"^url\((.*)\)$", r"\1", each) for each in found.refers}

    assert referred <= inner
    assert "//" not in re.sub(r"</?[a-z]+[^>]*>", "", html)
    assert not re.search(r"(https?:)?//[a-z]", html)
    assert not {"script", "link", "iframe", "img"} & set(found.tags)


def test_it_names_everything(html: str) -> None:
    text = " ".join(" ".join(checked(html).text).split())

    for name in ("A & B", "smartlb: 1.2.3", "troubled", "calm", "learned", "clairvoyant ‡", "c3 °", "random"):
        assert name in text
    assert "Nothing goes wrong." in text
    assert "Requests: the stand-in <of> a trace." in text
    assert "slow a, from 5 s to 10 s" in text
    assert "leak b, from 12 s on" in text
    assert "200 requests/s, 50 % of what the fleet carries at best, generated" in text
    assert "ejected: 5 failures" in text
    assert "and 10 more." in text
    assert "Health checks and ejection took nobody out under learned." in text


def test_it_says_where_the_champion_loses() -> None:
    losing = render([busy_run("learned", mean_ms=20.0), busy_run("random", mean_ms=10.0)])
    winning = render([busy_run("learned", mean_ms=10.0), busy_run("random", mean_ms=20.0)])

    assert "Where learned loses" in losing
    assert "one seed" in losing
    assert "Nowhere: no other policy" in winning


def test_names_are_escaped() -> None:
    html = render(
        [
            busy_run("learned", scenario=HOSTILE, backends=[HOSTILE, "b"], troubles=[Trouble(HOSTILE, 5.0, 9.0)]),
            busy_run("clairvoyant", scenario=HOSTILE),
            busy_run(HOSTILE, scenario=HOSTILE),
        ],
        about={HOSTILE: About(HOSTILE, HOSTILE)},
        facts={HOSTILE: HOSTILE},
        title=HOSTILE,
    )

    assert "<script" not in html
    assert "script" not in checked(html).tags


def test_figures_alone_make_a_page() -> None:
    html = page(table_of({"learned": [10.0], "clairvoyant": [5.0]}), [])

    assert checked(html).tags.count("svg") == 1


def test_runs_in_which_nothing_worked_make_a_page() -> None:
    broken = made_log(np.linspace(0.0, 9.0, 50), 0.1, status=503)
    html = render(
        [made_run(broken), made_run(broken, policy="clairvoyant"), made_run(made_log([], []), policy="idle", rate=1.0)]
    )

    assert "no request succeeded in some run" in html
    checked(html)


def test_a_picture_has_a_limited_number_of_lines() -> None:
    html = render([busy_run(name) for name in ("learned", "clairvoyant", *"abcdefghij")])

    assert f"{12 - LINES} more policies are in the table only" in html


def test_the_same_runs_make_the_same_page() -> None:
    assert render([busy_run()]) == render([busy_run()])
