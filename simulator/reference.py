"""docs/scenarios.md, written from the models, so that it cannot differ from them.

``python -m simulator.reference > docs/scenarios.md`` writes it anew.
"""

from simulator.catalogue import load, names
from simulator.scenario import Scenario
from smartlb.config.reference import sections

_INTRODUCTION = """\
# Scenarios

A scenario is one YAML file: what comes, who serves it, what goes wrong. The built-in ones are in
[simulator/scenarios](../simulator/scenarios); a copy of the nearest is the best start for one of your own, and
`smartlb arena mine.yaml` runs it. [simulator.md](simulator.md) says how the simulator works. This page is made from the
code, by `python -m simulator.reference > docs/scenarios.md`.

Files are read like [configurations](configuration.md): everything that is wrong is reported at once by line and column,
unknown keys are errors, nothing is converted. A key's suffix is its unit: `_s` seconds, `_ms` milliseconds. In section
names, `[]` stands for each item of a list and `NAME` for a name of your choice.

`--set KEY=VALUE` changes a value for one run: `--set load.utilisation=0.5`, `--set fleet.0.count=20`.
"""


def reference() -> str:
    """The text of docs/scenarios.md."""
    rows = [f"| `{name}` | {load(name).description.strip()} |" for name in names()]
    table = "\n".join(["| name | what it shows |", "|---|---|", *rows])
    return "\n".join([_INTRODUCTION, f"## Built-in scenarios\n\n{table}\n", *sections(Scenario)])


if __name__ == "__main__":
    print(reference(), end="")
