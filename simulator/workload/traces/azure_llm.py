"""azure_llm: LLM inference traces of Azure (github.com/Azure/AzurePublicDataset); tokens, but no durations."""

from simulator.workload.traces.entry import Entry
from simulator.workload.traces.format import UNKNOWN, Format, by_line
from simulator.workload.traces.timestamps import iso_s

_HEADER = "TIMESTAMP,ContextTokens,GeneratedTokens"


def _parse(line: str) -> Entry:
    at, context, generated = line.split(",")
    return Entry(iso_s(at), None, UNKNOWN, 0, 0, int(context), int(generated), "", "")


FORMAT = Format(
    name="azure_llm",
    expected=f"{_HEADER}, such as 2023-11-16 18:15:46.6805900,374,44",
    recognise=lambda line: line.strip() == _HEADER,
    read=by_line(_parse, header=_HEADER),
)
