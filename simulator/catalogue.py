"""Scenarios by name: those that come with the simulator, those in files, and those that are drawn at random."""

import re
from pathlib import Path

from simulator.generator import generate
from simulator.scenario import Scenario
from smartlb.config.load import read, validated
from smartlb.config.problems import ConfigError, Problem, unknown_name

BUILT_IN = Path(__file__).parent / "scenarios"
"""The scenarios that come with the simulator, each under its file's name."""

_DRAWN = re.compile(r"generated-(\d+)")


def names() -> list[str]:
    """Of the scenarios that come with the simulator."""
    return sorted(path.stem for path in BUILT_IN.glob("*.yaml"))


def path_of(name: str) -> Path:
    """The file of a scenario that is given by name or by path."""
    return Path(name) if name.endswith((".yaml", ".yml")) or "/" in name else BUILT_IN / f"{name}.yaml"


def load(name: str, changes: dict[str, str] | None = None) -> Scenario:
    """A scenario by the name of a built-in one, the path of a file, or as ``generated-N``, drawn at random.

    Args:
        name: with an ending or a slash it is a path; `simulator.generator` draws the scenario of a number.
        changes: values by dotted key, such as ``{"load.utilisation": "0.5"}``, as they would be written in YAML.

    Raises:
        ConfigError: there is no such scenario, or it is not valid.
    """
    if drawn := _DRAWN.fullmatch(name):
        text = generate(int(drawn[1])).model_dump_json(exclude_unset=True)  # JSON is YAML
        return validated(Scenario, text, name, changes or {})
    path = path_of(name)
    if path.parent == BUILT_IN and not path.exists():
        hint = "; generated-N is drawn at random, N being any number; the name of a file of your own ends with .yaml"
        raise ConfigError(name, [Problem("", unknown_name("scenario", name, names()) + hint)])
    return validated(Scenario, read(path), str(path), changes or {})
