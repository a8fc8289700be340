"""A search over the options of a policy and of the learner: every trial meets the same requests."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from pydantic import BaseModel

from simulator.api import Source
from simulator.arena import Results, Task, run_all, tasks
from simulator.catalogue import load, path_of
from simulator.contenders import CONTENDERS, contender
from simulator.measures.cast import CAST
from simulator.measures.estimate import estimate
from simulator.measures.frame import table
from simulator.scenario import Scenario
from smartlb.config.model import Learner
from smartlb.config.problems import unknown_name

if TYPE_CHECKING:
    import pandas as pd

Options = Mapping[str, Any]
"""Values by dotted name, as in the router's configuration: ``policy.candidates``, ``learner.interval_s``."""

Scenarios = Mapping[str, Source] | Sequence[str]

_DIGITS: Final = 3
_NO_MATTER: Final = {("learner", "stale_after_s"), ("learner", "checkpoint")}
"""Options that are none of a search: without effect in the simulator, or what a trial begins with."""

_REGRETS: Final = {"regret_p99": "p99_ms", "regret_mean": "mean_ms"}


def tune(
    space: Mapping[str, Any],
    scenarios: Scenarios,
    held_out: Scenarios = (),
    *,
    policy: str = "learned",
    trials: int | None = None,
    seeds: int = 3,
    finalists: int = 3,
    seed: int = 0,
    jobs: int = -1,
    results: Path | None = None,
) -> "pd.DataFrame":
    """Try options, and measure each trial's regret against the clairvoyant policy on the same requests.

    Trial 0 has the router's defaults, so that every gain is one over those. The search sees `scenarios` only; then its
    best and the defaults run in the scenarios held out, with seeds that the search did not see either. What was chosen
    for being the best of many looks better than it is; what it gains there is what to believe.

    Args:
        space: by option, ``policy.NAME`` or ``learner.NAME``: a list of values, or for `trials` a distribution of
            scipy.stats. Numbers that are drawn are rounded to three digits.
        scenarios: names or paths, or scenarios by a name of your choice.
        held_out: likewise.
        policy: whose options they are; one of `simulator.contenders.CONTENDERS`.
        trials: how many to draw; the whole grid where not given, for which `space` has lists only.
        seeds: runs of each trial in each scenario.
        finalists: how many of the best, beside the defaults, run in the scenarios held out.
        seed: of the draw of trials.
        jobs: runs at once; -1 for one a core.
        results: a folder in which finished runs are kept and found again.

    Returns:
        One row a run: `trial`, its options, `held_out`, then the figures of `simulator.measures.frame.table` with
        `regret_p99` and `regret_mean`; `ranked` makes a row a trial of it.

    Raises:
        ValueError: there is no such policy or option, or it cannot have such a value.
        ConfigError, ImpossibleScenario, TraceError: as for `simulator.api.run`.
    """
    tried = _trials(space, policy, trials, seed)
    kept = Results(results)
    runs = _measured(tried, _resolved(scenarios), policy, range(seeds), kept, jobs).assign(held_out=False)
    if held_out:
        import pandas as pd

        best = [trial for trial in ranked(runs)["trial"] if trial != 0][:finalists]
        chosen = {number: options for number, options in tried.items() if number in (0, *best)}
        unseen = _measured(chosen, _resolved(held_out), policy, range(seeds, 2 * seeds), kept, jobs)
        runs = pd.concat([runs, unseen.assign(held_out=True)], ignore_index=True)
    first = ["trial", *space, "held_out", "scenario", "seed"]
    return runs[[*first, *(name for name in runs.columns if name not in first)]]


def ranked(runs: "pd.DataFrame", by: str = "regret_p99") -> "pd.DataFrame":
    """Trials, the least regret in the scenarios of the search first; those without any success last.

    Args:
        runs: as `tune` returns them.
        by: ``regret_p99`` or ``regret_mean``.

    Returns:
        One row a trial: `trial`, its options, then `regret`, the geometric mean over scenarios and seeds; `change`, how
        much longer latency is than with the defaults on the same requests, as a share (negative is better), with the
        bounds `change_low` and `change_high` of its 95 % confidence interval over the seeds, NaN for one seed; and
        `error_share`, the mean. ``held_out_regret`` and so on are the same in the scenarios held out, NaN for trials
        that did not run there.
    """
    import pandas as pd

    logs = runs.assign(log=np.log1p(runs[by].astype(float)))
    options = [name for name in runs.columns if name.startswith(("policy.", "learner."))]
    found = logs.groupby("trial")[options].first()
    for held_out, prefix in ((False, ""), (True, "held_out_")):
        part = logs[logs["held_out"] == held_out]
        # A mean that leaves out what failed would mislead.
        by_seed = part.groupby(["trial", "seed"])["log"].agg(lambda of: of.mean(skipna=False)).unstack("seed")
        found[f"{prefix}regret"] = np.expm1(by_seed.mean(axis=1, skipna=False))
        against = by_seed - by_seed.loc[0] if len(by_seed) else by_seed
        changes = {trial: _change(row.tolist()) for trial, row in against.iterrows()}
        names = [f"{prefix}change", f"{prefix}change_low", f"{prefix}change_high"]
        found = found.join(pd.DataFrame.from_dict(changes, orient="index", columns=names, dtype=float))
        found[f"{prefix}error_share"] = part.groupby("trial")["error_share"].mean()
    return found.rename_axis("trial").reset_index().sort_values("regret", kind="stable", ignore_index=True)


def _change(logs: Sequence[float]) -> tuple[float, float, float]:
    """A paired change of latency and its interval, from logarithms of ratios by seed."""
    found = estimate([None if np.isnan(value) else value for value in logs])
    if found is None:
        return np.nan, np.nan, np.nan
    half = np.nan if found.half_width is None else found.half_width
    mean, low, high = np.expm1([found.mean, found.mean - half, found.mean + half]).tolist()
    return mean, low, high


def _trials(space: Mapping[str, Any], policy: str, count: int | None, seed: int) -> dict[int, Options]:
    """Options by number, each once; the defaults are 0."""
    from sklearn.model_selection import ParameterGrid, ParameterSampler

    if policy not in CONTENDERS:
        raise ValueError(unknown_name("policy", policy, CONTENDERS))
    sections: dict[str, type[BaseModel]] = {"policy": CONTENDERS[policy].options}
    if contender(policy).learns:
        sections["learner"] = Learner
    known = {
        f"{section}.{name}": field.get_default()
        for section, model in sections.items()
        for name, field in model.model_fields.items()
        if (section, name) not in _NO_MATTER
    }
    for name in space:
        if name not in known:
            raise ValueError(unknown_name("option", name, known))
    if count is not None and not any(hasattr(values, "rvs") for values in space.values()):
        count = min(count, len(ParameterGrid(dict(space))))
    drawn: Iterable[Options] = (
        ParameterGrid(dict(space)) if count is None else ParameterSampler(dict(space), count, random_state=seed)
    )
    found: list[Options] = [{name: known[name] for name in space}]
    for options in drawn:
        plain = {name: _plain(options[name]) for name in space}
        if plain not in found:
            found.append(plain)
    for options in found:
        contender(policy, _of("policy", options))
        Learner.model_validate(_of("learner", options))
    return dict(enumerate(found))


def _plain(value: Any) -> Any:
    value = value.item() if isinstance(value, np.generic) else value
    return float(f"{value:.{_DIGITS}g}") if isinstance(value, float) else value


def _of(section: str, options: Options) -> dict[str, Any]:
    return {name.partition(".")[2]: value for name, value in options.items() if name.startswith(f"{section}.")}


def _resolved(scenarios: Scenarios) -> dict[str, tuple[Scenario, Path]]:
    """Scenarios by name, each with the folder of its file."""
    named = scenarios if isinstance(scenarios, Mapping) else {Path(each).stem: each for each in scenarios}
    return {
        name: (load(each), path_of(each).parent)
        if isinstance(each, str)
        else (each if isinstance(each, Scenario) else Scenario.model_validate(each), Path())
        for name, each in named.items()
    }


def _measured(
    tried: Mapping[int, Options],
    scenarios: Mapping[str, tuple[Scenario, Path]],
    policy: str,
    seeds: Sequence[int],
    results: Results,
    jobs: int,
) -> "pd.DataFrame":
    """One row a run of each trial, with its regrets."""
    import pandas as pd

    labels = {_label(options): number for number, options in tried.items()}
    todo: list[Task] = tasks(scenarios, [CAST.clairvoyant], seeds)
    for label, number in labels.items():
        options = tried[number]
        changed = {
            name: (scenario.model_copy(update={"learner": _learner(scenario, options)}), folder)
            for name, (scenario, folder) in scenarios.items()
        }
        todo += tasks(changed, [policy], seeds, {policy: _of("policy", options)}, changed=label)
    done = run_all(todo, results, jobs, "sequential" if jobs == 1 else "loky")
    frame = table([each.figures for each in done])
    frame["trial"] = frame["options"].map(labels)
    bound = frame["policy"] == CAST.clairvoyant
    least = frame[bound].set_index(["scenario", "seed"])[list(_REGRETS.values())].add_suffix("_least")
    frame = frame[~bound].join(least, on=["scenario", "seed"])
    for regret, figure in _REGRETS.items():
        frame[regret] = frame[figure] / frame.pop(f"{figure}_least") - 1.0
    frame = frame.join(pd.DataFrame.from_dict(dict(tried), orient="index"), on="trial").drop(columns="options")
    frame["trial"] = frame["trial"].astype("int64")
    return frame.sort_values(["trial", "scenario", "seed"], ignore_index=True)


def _label(options: Options) -> str:
    return ", ".join(f"{name}={value}" for name, value in options.items())


def _learner(scenario: Scenario, options: Options) -> Learner:
    return Learner.model_validate({**scenario.learner.model_dump(), **_of("learner", options)})
