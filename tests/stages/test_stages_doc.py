"""The example of docs/stages.md works."""

import re
from pathlib import Path
from typing import Any

from smartlb.core.outcome import Outcome
from smartlb.stages.stage import Stage
from tests.eventually import eventually
from tests.proxy.live import Live, request
from tests.proxy.origin import ok, saying
from tests.stages.probes import Requests, Responses

PAGE = (Path(__file__).parents[2] / "docs" / "stages.md").read_text()


def example() -> dict[str, Any]:
    """What the page's Python defines."""
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {"__name__": "passage"}
    exec(compile("\n".join(blocks), "docs/stages.md", "exec"), names)
    return names


async def test_the_example(live: Live) -> None:
    asked: list[bytes] = []

    async def known(token: bytes) -> bool:
        asked.append(token)
        return token == b"mine"

    passage = example()["Passage"](known)
    origin, router, client = await live.pair(saying(ok(b"secret", b"x-internal: 1", b"x-open: 2")))
    router.stage(passage)
    response = await client.ask(request("GET", "/", "x-token: mine"))
    assert (response.status, response.body) == (200, b"secret")
    assert (response.header(b"x-internal"), response.header(b"x-open")) == (None, b"2")
    for headers in (["x-token: yours"], []):
        response = await client.ask(request("GET", "/", *headers))
        assert (response.status, response.body) == (403, b"no\n")
    assert (asked, len(origin.requests)) == ([b"mine", b"yours"], 1)
    await eventually(lambda: passage.refused == 2)
    assert await router.outcomes(3) == [Outcome.COMPLETE] * 3


async def test_the_filter(live: Live) -> None:
    size = example()["Size"]
    sizes: list[int] = []
    _, router, client = await live.pair()
    router.stage(Requests(lambda: size(sizes.append)), Responses(lambda: size(sizes.append)))
    response = await client.ask(request("POST", "/", body=b"12345"))
    assert (response.body, response.header(b"content-length")) == (b"12345", b"5")
    assert sizes == [5, 5]


def test_the_page_has_every_moment() -> None:
    moments = {name for name in vars(Stage) if callable(getattr(Stage, name)) and not name.startswith("_")}
    rows = re.findall(r"^\| [^|]+ \| `(\w+)` \|", PAGE, re.MULTILINE)
    assert set(rows) == moments
