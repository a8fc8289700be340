"""Live routers here too."""

from tests.proxy.conftest import live, pytest_asyncio_loop_factories

__all__ = ["live", "pytest_asyncio_loop_factories"]
