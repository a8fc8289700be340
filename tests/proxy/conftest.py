"""Live routers in the test's process, on the event loop that the router runs on."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import uvloop

from tests.proxy.live import Live


@pytest.hookimpl(optionalhook=True)
def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run the async tests of this directory on uvloop."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
async def live(caplog: pytest.LogCaptureFixture) -> AsyncIterator[Live]:
    """What the test builds; afterwards nothing may be in flight, open, or logged as an error."""
    unhandled: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: unhandled.append(context))
    live = Live()
    yield live
    await live.end()
    assert not unhandled, unhandled
    errors = [record.getMessage() for record in caplog.get_records("call") if record.levelno >= logging.ERROR]
    assert not errors, errors
