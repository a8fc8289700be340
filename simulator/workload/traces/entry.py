"""A recorded request, whatever the format."""

from typing import NamedTuple


class Entry(NamedTuple):
    """What a trace knows of a request.

    Attributes:
        at_s: arrival, in seconds since any moment, from 0 on.
        request_class: as the trace names it; None where it names none.
        duration_s: how long it took; NaN where that is not known.
        request_bytes, response_bytes: 0 where not known.
        input_tokens, output_tokens: 0 where not known.
        client: the client's address, or any other name; empty where not known.
        target: what was asked for, such as a URL; empty where not known.
    """

    at_s: float
    request_class: str | None
    duration_s: float
    request_bytes: float
    response_bytes: float
    input_tokens: float
    output_tokens: float
    client: str
    target: str
