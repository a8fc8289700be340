"""What the sources of a configuration have found goes on in the next one."""

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from smartlb.config.model import Backend, Config
from smartlb.control.discovery.discovery import Discovery, NotChanged
from tests.served import configuration


def config(discovery: dict[str, Any]) -> Config:
    return Config.model_validate(configuration([], {"discovery": discovery}))


def backend(number: int) -> Backend:
    return Backend(address=f"10.0.0.{number}:80")


@pytest.mark.parametrize("then", [{"api": {}}, {"api": {}, "max_backends": 3}])
async def test_what_is_added_while_a_reload_goes_on_is_not_lost(then: dict[str, Any]) -> None:
    discovery = Discovery(lambda _found: None)
    discovery.follow(await discovery.prepare(config({"api": {}})))
    discovery.add("web", backend(1), [])
    prepared = await discovery.prepare(config(then))
    discovery.add("web", backend(2), [])
    discovery.follow(prepared)
    assert discovery.found() == {"web": [backend(1), backend(2)]}
    discovery.stop()


async def test_what_a_new_source_has_found_is_not_undone_by_the_earlier_one(tmp_path: Path) -> None:
    path = tmp_path / "web.json"
    path.write_text('["10.0.0.3:80"]')
    discovery = Discovery(lambda _found: None)
    discovery.follow(await discovery.prepare(config({"api": {}})))
    discovery.add("web", backend(1), [])
    prepared = await discovery.prepare(config({"file": {"path": str(path)}}))
    discovery.add("web", backend(2), [])
    discovery.follow(prepared)
    assert discovery.found() == {"web": [backend(3)]}
    with pytest.raises(NotChanged, match="takes no backends from the admin API"):
        discovery.add("web", backend(2), [])
    discovery.stop()


async def test_a_reload_that_is_refused_changes_nothing() -> None:
    discovery = Discovery(lambda _found: None)
    discovery.follow(await discovery.prepare(config({"api": {}})))
    discovery.add("web", backend(1), [])
    await discovery.prepare(config({"api": {}, "max_backends": 1}))
    discovery.add("web", backend(2), [])
    assert discovery.found() == {"web": [backend(1), backend(2)]}
    discovery.stop()


async def test_a_pool_that_changes_to_the_api_is_no_longer_told_by_its_file(tmp_path: Path) -> None:
    listing = tmp_path / "backends.json"
    listing.write_text('["127.0.0.1:1"]')

    def config(discovery: dict[str, Any]) -> Config:
        pools = {"web": {"discovery": discovery}}
        return Config.model_validate({"listeners": [{"bind": "127.0.0.1:0"}], "pools": pools, "workers": 1})

    told: list[Any] = []
    discovery = Discovery(told.append)
    discovery.follow(await discovery.prepare(config({"file": {"path": str(listing), "interval_s": 0.05}})))
    discovery.follow(await discovery.prepare(config({"api": {}})))
    listing.write_text('["127.0.0.1:99", "127.0.0.1:98"]')
    await asyncio.sleep(0.3)
    discovery.stop()
    assert told == []


async def test_a_backend_is_removed_by_the_name_that_it_is_shown_by() -> None:
    static = [Backend(name="c", address="10.0.0.1:80")]
    discovery = Discovery(lambda _found: None)
    discovery.follow(await discovery.prepare(config({"api": {}})))
    discovery.add("web", Backend(name="c", address="10.0.0.3:80"), [])
    # Since then, `c` has become one of the configuration's, and this one goes by its address.
    with pytest.raises(NotChanged, match=r"known: 10\.0\.0\.3:80"):
        discovery.remove("web", "c", static)
    discovery.remove("web", "10.0.0.3:80", static)
    assert discovery.found() == {"web": []}
    discovery.stop()


async def test_a_list_that_is_a_pipe_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "list")
    discovery = Discovery(lambda _found: None)
    async with asyncio.timeout(10):
        prepared = await discovery.prepare(config({"file": {"path": str(tmp_path / "list")}}))
    assert "is no regular file" in str(prepared.standings["web"].failure)
