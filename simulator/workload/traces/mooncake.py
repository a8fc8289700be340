"""mooncake: LLM requests with the hashes of their prompts' blocks of 512 tokens (github.com/kvcache-ai/Mooncake).

Requests that begin with the same blocks have the same target, so that hashing by URL keeps them together.
"""

import json

from simulator.workload.traces.entry import Entry
from simulator.workload.traces.format import UNKNOWN, Format, by_line

_PREFIX = 4  # blocks: what many prompts begin with, instructions and tools, and then something of their own


def _parse(line: str) -> Entry:
    record = json.loads(line)
    prefix = ".".join(map(str, record["hash_ids"][:_PREFIX]))
    return Entry(
        record["timestamp"] / 1e3,
        None,
        UNKNOWN,
        0,
        0,
        float(record["input_length"]),
        float(record["output_length"]),
        "",
        prefix,
    )


FORMAT = Format(
    name="mooncake",
    expected='{"timestamp": MILLISECONDS, "input_length": TOKENS, "output_length": TOKENS, "hash_ids": [...]}',
    recognise=lambda line: line.startswith("{") and '"hash_ids"' in line,
    read=by_line(_parse),
)
