class Record:
    arrived_s: float
    queued_s: float
    first_byte_s: float
    total_s: float
    in_flight: int
    request_bytes: int
    response_bytes: int
    backend: int
    route: int
    request_class: int
    status: int
    outcome: int
    attempt: int
    def __init__(self, **fields: float) -> None: ...
    def clear(self, arrived_s: float) -> None: ...

class RingWriter:
    def __init__(self, buffer: memoryview, capacity: int) -> None: ...
    def append(self, record: Record) -> None: ...
