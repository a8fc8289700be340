"""`smartlb serve` with TLS on both sides, and the tools that people look at it with."""

import asyncio
import json
import ssl
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.authority import Authority
from tests.proxy.live import Client, request
from tests.served import Served, configuration, serving, spawn


async def output_of(*command: str, given: bytes = b"") -> tuple[int, str]:
    """Exit status and all output of a command."""
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await asyncio.wait_for(process.communicate(given), 20)
    return process.returncode or 0, output.decode(errors="replace")


async def curl(router: Served, authority: Authority, *options: str) -> tuple[int, str]:
    port = router.listener.rpartition(":")[2]
    resolved = ("--resolve", f"a.example:{port}:127.0.0.1")
    return await output_of("curl", "-sS", "--cacert", authority.path, *resolved, *options, f"https://a.example:{port}/")


async def s_client(router: Served, authority: Authority, *options: str) -> str:
    _, output = await output_of(
        *("openssl", "s_client", "-connect", router.listener, "-servername", "a.example"),
        *("-CAfile", authority.path, *options),
        given=b"Q\n",
    )
    return output


async def echo(asked: web.Request) -> web.Response:
    return web.json_response(dict(asked.headers))


async def test_tls_on_both_sides(tmp_path: Path, authority: Authority) -> None:
    app = web.Application()
    app.router.add_get("/", echo)
    inner = authority.server(authority.issue("inner", "inner.example"), asks=True)
    backend = TestServer(app, host="127.0.0.1", scheme="https")
    await backend.start_server(ssl=inner)
    files = authority.issue("a", "a.example")
    tls = {"certificates": [files], "reload_s": 0.01, "client_certificate": "optional", "client_ca": authority.path}
    own = authority.issue("router", "router.example")
    pool = {
        "tls": {"ca": authority.path, "server_name": "inner.example", **own},
        "health_check": {"interval_s": 0.05, "rise": 1, "fall": 1},
    }
    config = configuration([f"127.0.0.1:{backend.port}"], pool, listeners=[{"bind": "127.0.0.1:0", "tls": tls}])
    me = authority.issue("me", "alice.example", common_name="alice")
    try:
        async with serving(config, tmp_path) as router:
            await router.status_when(lambda status: status["pools"]["web"]["backends"][0]["eligible"])
            status, answer = await curl(router, authority, "--cert", me["certificate"], "--key", me["key"])
            assert status == 0, answer
            headers = {name.lower(): value for name, value in json.loads(answer).items()}
            assert headers["x-forwarded-proto"] == "https"
            assert headers["x-client-cert-verify"] == "SUCCESS"
            assert headers["x-client-cert-subject"].startswith("CN=alice,")
            assert (await curl(router, authority, "--tls-max", "1.1"))[0] != 0

            for version in ("-tls1_2", "-tls1_3"):
                # Two workers: tickets of one would be worth nothing to the other.
                seen = await s_client(
                    router, authority, version, "-alpn", "h2,http/1.1", "-verify_hostname", "a.example"
                )
                assert "Verification: OK" in seen
                assert "ALPN protocol: h2" in seen
                assert "session ticket" not in seen.lower()

            # A renewal: new connections see it, a connection that is there stays.
            host, _, port = router.listener.rpartition(":")
            streams = await asyncio.open_connection(
                host, int(port), ssl=authority.client(), server_hostname="a.example"
            )
            client = Client(*streams)
            assert (await client.ask(request())).status == 200
            authority.issue("a", "a.example", "renewed.example")
            await renewed(router, authority)
            assert (await client.ask(request())).status == 200
            await client.close()
            assert "reloaded " in router.log

            # Keys are nowhere to be seen.
            async with aiohttp.ClientSession() as session, session.get(f"http://{router.admin}/metrics") as response:
                metrics = await response.text()
            assert "smartlb_worker_tls_handshakes_total" in metrics
            everything = router.log + metrics + str(await router.status())
            for key in (files["key"], own["key"]):
                assert Path(key).read_text().splitlines()[1] not in everything
    finally:
        await backend.close()


async def renewed(router: Served, authority: Authority) -> None:
    """Wait until both workers show the certificate for another name."""
    host, _, port = router.listener.rpartition(":")
    async with asyncio.timeout(20):
        seen = 0
        while seen < 8:
            tls = authority.client()
            try:
                _, writer = await asyncio.open_connection(host, int(port), ssl=tls, server_hostname="renewed.example")
            except ssl.SSLCertVerificationError:
                seen = 0
                await asyncio.sleep(0.02)
            else:
                seen += 1
                writer.transport.abort()


async def test_a_backend_with_another_certificate_is_unhealthy(tmp_path: Path, authority: Authority) -> None:
    app = web.Application()
    app.router.add_get("/", echo)
    backend = TestServer(app, host="127.0.0.1", scheme="https")
    await backend.start_server(ssl=authority.server(authority.issue("o", "other.example")))
    pool = {"tls": {"ca": authority.path}, "health_check": {"interval_s": 0.05, "rise": 1, "fall": 1}}
    try:
        async with serving(configuration([f"127.0.0.1:{backend.port}"], pool), tmp_path) as router:
            status = await router.status_when(lambda status: not status["pools"]["web"]["backends"][0]["eligible"])
            reason = status["pools"]["web"]["backends"][0]["reason"]
            assert "certificate is not valid for '127.0.0.1'" in reason
    finally:
        await backend.close()


@pytest.mark.parametrize("trouble", ["unusable", "expired"])
async def test_the_start_with_a_bad_certificate(tmp_path: Path, authority: Authority, trouble: str) -> None:
    files = authority.issue_expired("a", "a.example")
    if trouble == "unusable":
        Path(files["key"]).unlink()
    config: dict[str, Any] = configuration(
        ["127.0.0.1:1"], listeners=[{"bind": "127.0.0.1:0", "tls": {"certificates": [files]}}]
    )
    if trouble == "expired":
        async with serving(config, tmp_path) as router:
            assert "expired" in router.log
        return
    path, log = tmp_path / "smartlb.yaml", tmp_path / "log"
    path.write_text(yaml.safe_dump(config))
    process = await spawn("serve", path, log=log)
    assert await asyncio.wait_for(process.wait(), 20) == 2
    assert f"the key {files['key']} cannot be read: No such file or directory" in log.read_text()
