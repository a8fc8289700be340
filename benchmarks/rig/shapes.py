"""The shapes of requests and responses that proxies are measured with."""

from dataclasses import dataclass, field

_SMALL_BODY = (b"The quick brown fox jumps over the lazy dog. " * 2)[:64]


def _text(size: int) -> bytes:
    line = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.\n"
    return (line * (size // len(line) + 1))[:size]


BODIES = {"/small": _SMALL_BODY, "/10k": _text(10_000), "/100k": _text(100_000)}
"""What backends answer, by path; with its head the small one makes a response of about 200 bytes."""

REALISTIC_HEADERS = {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8",
    "Accept-Language": "en-GB,en;q=0.8,de;q=0.5,fr;q=0.3",
    "Accept-Encoding": "gzip, deflate, br",
    "Referer": "https://shop.example.com/catalogue/kettles?page=3&sort=price",
    "Cookie": "session=8f14e45fceea167a5a36dedd4bea2543; theme=dark; consent=essential; cart=41",
    "Cache-Control": "max-age=0",
    "X-Request-Source": "web-frontend-17.eu-central.example.com",
}


@dataclass(frozen=True, slots=True)
class Shape:
    """One kind of request, and how it is sent.

    Attributes:
        name: as `--shape` spells it.
        path: a key of `BODIES`; says which body comes back.
        method: of the request.
        headers: of the request, beside Host.
        body: of the request.
        rate_per_s: requests per second of an open loop; None for as many as the proxy takes.
        tls: whether the proxy is spoken to over TLS; not with a rate.
    """

    name: str
    path: str
    method: str = "GET"
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    rate_per_s: float | None = None
    tls: bool = False

    @property
    def expected(self) -> bytes:
        """The body of a correct response."""
        return BODIES[self.path]


SHAPES = {
    shape.name: shape
    for shape in (
        Shape("small", "/small"),
        Shape("headers", "/small", headers=REALISTIC_HEADERS),
        Shape("body10k", "/10k"),
        Shape("body100k", "/100k"),
        Shape("post", "/small", "POST", {"Content-Type": "text/plain"}, _text(1_000)),
        Shape("paced", "/small", rate_per_s=3_000),
    )
}
"""Shapes by name."""
