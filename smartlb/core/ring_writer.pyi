class RingWriter:
    def __init__(self, buffer: memoryview, capacity: int) -> None: ...
    def write(
        self,
        arrived_s: float,
        queued_s: float,
        first_byte_s: float,
        total_s: float,
        in_flight: int,
        request_bytes: int,
        response_bytes: int,
        backend: int,
        route: int,
        request_class: int,
        status: int,
        outcome: int,
        attempt: int,
    ) -> None: ...
