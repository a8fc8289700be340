"""Every format of traces by its name; a trace whose format is not named is of the first that recognises it."""

from simulator.workload.traces import (
    access_log,
    azure_functions,
    azure_llm,
    combined_log,
    common_log,
    csv,
    haproxy,
    mooncake,
    nginx,
    parquet,
)
from simulator.workload.traces.format import Format

FORMATS: dict[str, Format] = {
    module.FORMAT.name: module.FORMAT
    for module in (
        access_log,
        mooncake,
        azure_llm,
        azure_functions,
        common_log,
        combined_log,
        nginx,
        haproxy,
        parquet,
        csv,
    )
}


def recognise(first_line: str) -> Format | None:
    """The first format that a file which begins so may have; None where there is none."""
    return next((format_ for format_ in FORMATS.values() if format_.recognise(first_line)), None)
