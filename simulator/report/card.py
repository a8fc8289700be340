"""What comes with a trained checkpoint: a manifest for programs, and a model card for people."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from simulator.training import START_S, Start
from smartlb.learning.checkpoint import Checkpoint


def manifest(
    checkpoint: Checkpoint,
    text: str,
    scenarios: Mapping[str, str],
    seeds: Sequence[int],
    changed: str,
    command: str,
    found: Sequence[Start],
) -> dict[str, Any]:
    """What a checkpoint was made of, and how.

    Args:
        checkpoint: itself.
        text: its file.
        scenarios: trained on; descriptions by name.
        seeds: trained with.
        changed: what was changed in the scenarios.
        command: that makes it again.
        found: how it starts in scenarios that it was not trained on.
    """
    return {
        "schema": 1,
        "checkpoint": "checkpoint.json",
        "sha256": hashlib.sha256(text.encode()).hexdigest(),
        "scenarios": dict(scenarios),
        "changed": changed,
        "seeds": list(seeds),
        "versions": {"smartlb": checkpoint.smartlb, "river": checkpoint.river},
        "command": command,
        "held_out": [asdict(start) for start in found],
    }


def card(name: str, checkpoint: Checkpoint, made: Mapping[str, Any], found: Sequence[Start]) -> str:
    """The model card, in Markdown."""
    pools = "; ".join(f"`{pool}`: {', '.join(memory.backends)}" for pool, memory in checkpoint.pools.items())
    trained = "\n".join(f"- `{each}`: {about.strip()}" for each, about in made["scenarios"].items())
    changed = f"\n\nChanged there: `{made['changed']}`." if made["changed"] else ""
    return f"""\
# {name}

What the learner knows of one fleet, as a start for the learned policy; JSON, no code. A command makes this page.

**Use.** `smartlb simulate SCENARIO --checkpoint models/{name}/checkpoint.json`, or `learner.checkpoint.path` of a
router whose pool and backends have the same names. Backends of other names start cold.

**What it holds.** Claims of `{checkpoint.latency_model}` (latency: {checkpoint.latency}) and
`{checkpoint.error_model}`. Classes: {", ".join(checkpoint.classes)}. Pools: {pools}.

**Data.** Generated requests, {len(made["seeds"])} runs of each (seeds {made["seeds"][0]} to {made["seeds"][-1]}):

{trained}{changed}

**Evaluation.** The first {START_S:g} s after a start, in scenarios with the same fleet that nothing was trained on
(`held_out.yaml`) and with other seeds. Latencies of successful requests in ms, means over the seeds; "better" says with
how many seeds the warm start had the shorter mean and the shorter p99.

{_table(found)}

**Limits.** It is of this fleet: where machines have changed since, it misleads until requests have shown so. It counts
as a few requests a class; docs/learning.md says what a wrong one does. Simulated backends are simpler than real ones.

**Again.** `{made["command"]}`, with smartlb {checkpoint.smartlb} and river {checkpoint.river}. SHA-256 of
`checkpoint.json`: `{made["sha256"]}`.
"""


def _table(found: Sequence[Start]) -> str:
    if not found:
        return "None was given."
    rows = [
        f"| {each.name}: `{each.changed}` | {each.seeds} | {each.cold_mean_ms:.1f} | {each.warm_mean_ms:.1f} | "
        f"{each.cold_p99_ms:.0f} | {each.warm_p99_ms:.0f} | {each.mean_won}, {each.p99_won} |"
        for each in found
    ]
    head = (
        "| scenario | seeds | mean, cold | mean, warm | p99, cold | p99, warm | better |\n|---|---|---|---|---|---|---|"
    )
    return "\n".join([head, *rows])
