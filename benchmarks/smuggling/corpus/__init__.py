"""The corpus: one file for each group of cases, the bytes as they are sent."""

from collections.abc import Mapping, Sequence

from benchmarks.smuggling.case import Case
from benchmarks.smuggling.corpus import (
    bodies,
    chunks,
    connection,
    content_length,
    expect,
    fields,
    host,
    limits,
    line_ends,
    methods,
    pipelining,
    targets,
    transfer_encoding,
    versions,
    whitespace,
)

CORPUS: Mapping[str, Sequence[Case]] = {
    module.__name__.rpartition(".")[2]: module.CASES
    for module in (
        content_length,
        transfer_encoding,
        chunks,
        line_ends,
        whitespace,
        fields,
        host,
        targets,
        versions,
        methods,
        bodies,
        expect,
        connection,
        pipelining,
        limits,
    )
}
"""Cases by group."""
