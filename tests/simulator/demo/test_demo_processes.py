import sys

import pytest

from simulator.demo.fleet import FLEET, Server
from simulator.demo.processes import DemoError, child, service
from simulator.demo.router import POOL, configuration
from smartlb.config.load import parse

LOG = sys.stderr.buffer


def _python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


async def test_a_child_reports_and_ends_with_its_standard_input() -> None:
    async with child(_python("import sys; print('{\"port\": 7}', flush=True); sys.stdin.read()"), LOG) as process:
        assert await process.report() == {"port": 7}
        with pytest.raises(DemoError, match="ended early with status 0"):
            async with child(_python("pass"), LOG) as other:
                await other.report()


async def test_a_child_that_dies_is_named_with_its_status() -> None:
    async with child(_python("raise SystemExit(3)"), LOG) as process:
        with pytest.raises(DemoError, match="ended early with status 3"):
            await process.report()


async def test_a_service_ends_with_its_block_even_if_the_block_fails() -> None:
    with pytest.raises(DemoError, match="for a reason"):
        async with service(_python("import time; time.sleep(60)"), LOG) as process:
            raise DemoError("for a reason")
    assert process.returncode == -15


def test_the_configuration_is_valid_and_the_same_for_every_policy_but_for_its_name() -> None:
    servers = [Server(spec, 9000 + at) for at, spec in enumerate(FLEET)]
    one, other = (configuration(policy, servers, ("page", "search")) for policy in ("learned", "round_robin"))
    assert one.replace("policy: learned", "policy: round_robin") == other
    config = parse(one, "demo.yaml")
    pool = config.pools[POOL]
    assert [backend.name for backend in pool.backends] == [spec.name for spec in FLEET]
    assert [entry.name for entry in config.request_classes] == ["page", "search"]
    assert config.workers == 1
    assert pool.policy.name == "learned"
    assert pool.health_check is not None
    assert pool.ejection is not None
