"""TLS with clients and with backends, on real sockets with real certificates."""

import asyncio
import contextlib
import hashlib
import logging
import socket
import ssl
import sys
from pathlib import Path
from typing import Any

import pytest

from smartlb.core.outcome import Outcome
from smartlb.core.segment import Gauge
from smartlb.downstream.tls import ignore_unreadable_names
from tests.authority import Authority, Files
from tests.eventually import eventually
from tests.proxy.live import Client, Live, LiveRouter, request
from tests.proxy.origin import Link, ok, saying

HOST = "a.example"


def listener(*certificates: Files, **tls: Any) -> dict[str, Any]:
    return {"tls": {"certificates": list(certificates), "reload_s": 0.000_1, **tls}}


async def tls_router(live: Live, *certificates: Files, **tls: Any) -> LiveRouter:
    return await live.router(await live.origin(), listener=listener(*certificates, **tls))


def peer_of(client: Client) -> ssl.SSLObject:
    found = client.writer.get_extra_info("ssl_object")
    assert isinstance(found, ssl.SSLObject)
    return found


def shown_hosts(client: Client) -> list[Any]:
    """The host names in the certificate that a client was shown."""
    certificate = peer_of(client).getpeercert()
    assert certificate is not None
    names: Any = certificate["subjectAltName"]
    return [name for _kind, name in names]


# Between clients and the router


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_requests_over_one_connection(live: Live, authority: Authority, version: ssl.TLSVersion) -> None:
    origin = await live.origin()
    router = await live.router(origin, listener=listener(authority.issue("a", HOST)))
    tls = authority.client()
    tls.set_alpn_protocols(["http/1.1"])
    tls.minimum_version = tls.maximum_version = version
    client = await live.client(router, tls, HOST)
    assert peer_of(client).selected_alpn_protocol() == "http/1.1"
    for number in range(3):
        assert (await client.ask(request("POST", "/", body=b"%d" % number))).body == b"%d" % number
    assert [message.header(b"x-forwarded-proto") for message in origin.requests] == [b"https"] * 3
    assert router.gauge(Gauge.TLS_HANDSHAKES) == 1
    assert router.gauge(Gauge.TLS_HANDSHAKES_FAILED) == 0


async def test_large_bodies_both_ways(live: Live, authority: Authority) -> None:
    router = await tls_router(live, authority.issue("a", HOST))
    body = bytes(range(256)) * 8_192
    client = await live.client(router, authority.client(), HOST)
    for _ in range(2):
        asked = asyncio.create_task(client.send(request("POST", "/", body=body)))
        assert (await client.response()).body == body
        await asked


async def test_the_first_request_may_come_with_the_end_of_the_handshake(live: Live, authority: Authority) -> None:
    router = await tls_router(live, authority.issue("a", HOST))
    client = await live.client(router)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = authority.client().wrap_bio(incoming, outgoing, server_hostname=HOST)
    while True:
        try:
            tls.do_handshake()
            break
        except ssl.SSLWantReadError:
            await client.send(outgoing.read())
            incoming.write(await client.reader.read(65_536))
    tls.write(request())
    await client.send(outgoing.read())
    answer = b""
    async with asyncio.timeout(10):
        while not answer.endswith(b"\r\n\r\n"):
            incoming.write(await client.reader.read(65_536))
            with contextlib.suppress(ssl.SSLWantReadError):
                answer += tls.read()
    assert answer.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    ("asked", "shown"),
    [
        ("b.example", "b.example"),
        ("B.Example", "b.example"),
        ("x.c.example", "*.c.example"),
        ("exact.c.example", "exact.c.example"),
        ("x.y.c.example", HOST),  # a wildcard stands for one label
        ("c.example", HOST),
        ("unknown.example", HOST),
        (None, HOST),
    ],
)
async def test_the_certificate_is_chosen_by_name(
    live: Live, authority: Authority, asked: str | None, shown: str
) -> None:
    router = await tls_router(
        live,
        authority.issue("a", HOST),
        authority.issue("b", "b.example", "exact.c.example"),
        authority.issue("c", "*.c.example"),
        authority.issue("d", "b.example", "later.example"),
    )
    tls = authority.client()
    tls.check_hostname = False
    client = await live.client(router, tls, asked or "")
    assert shown in shown_hosts(client)
    assert "later.example" not in shown_hosts(client)


async def test_a_certificate_without_alternative_names_goes_by_its_common_name(
    live: Live, authority: Authority, tmp_path: Path
) -> None:
    old = {"certificate": str(tmp_path / "old.pem"), "key": str(tmp_path / "old.key")}
    process = await asyncio.create_subprocess_exec(
        *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
        *("-subj", "/CN=old.example", "-days", "1", "-keyout", old["key"], "-out", old["certificate"]),
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert await process.wait() == 0
    router = await tls_router(live, authority.issue("a", HOST), old)
    tls = ssl.create_default_context(cafile=old["certificate"])
    tls.check_hostname = False
    client = await live.client(router, tls, "old.example")
    assert peer_of(client).getpeercert() is not None


async def refused(live: Live, router: LiveRouter, tls: ssl.SSLContext) -> None:
    """A handshake that fails, or whose failure the client sees when it asks for something."""
    failed = router.gauge(Gauge.TLS_HANDSHAKES_FAILED)

    async def ask() -> None:
        await (await live.client(router, tls, HOST)).ask(request())

    with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
        await ask()
    await eventually(lambda: router.gauge(Gauge.TLS_HANDSHAKES_FAILED) == failed + 1)


async def test_older_versions_are_refused(live: Live, authority: Authority) -> None:
    router = await tls_router(live, authority.issue("a", HOST), min_version="1.3")
    tls = authority.client()
    tls.maximum_version = ssl.TLSVersion.TLSv1_2
    await refused(live, router, tls)
    assert (await (await live.client(router, authority.client(), HOST)).ask(request())).status == 200


async def test_other_ciphers_are_refused(live: Live, authority: Authority) -> None:
    router = await tls_router(live, authority.issue("a", HOST), ciphers="ECDHE+CHACHA20")
    tls = authority.client()
    tls.maximum_version = ssl.TLSVersion.TLSv1_2
    tls.set_ciphers("ECDHE+AESGCM")
    await refused(live, router, tls)


async def test_plain_http_is_no_handshake(live: Live, authority: Authority, caplog: pytest.LogCaptureFixture) -> None:
    router = await tls_router(live, authority.issue("a", HOST))
    with caplog.at_level(logging.INFO, "smartlb"):
        for _ in range(5):
            client = await live.client(router)
            await client.send(request())
            assert b"HTTP" not in await client.cut()
        await eventually(lambda: router.gauge(Gauge.TLS_HANDSHAKES_FAILED) == 5)
    said = [message for message in caplog.messages if "handshake" in message]
    assert said == ["TLS handshakes failed: 1, the last with 127.0.0.1: the TLS handshake failed: http request"]


async def test_a_handshake_has_a_time_limit(live: Live, authority: Authority) -> None:
    router = await live.router(
        await live.origin(), listener=listener(authority.issue("a", HOST)), timeouts={"tls_handshake_s": 0.05}
    )
    client = await live.client(router)
    assert await client.cut() == b""
    await eventually(lambda: router.gauge(Gauge.TLS_HANDSHAKES_FAILED) == 1)
    await eventually(lambda: not router.worker.admission.handshakes)


async def test_handshakes_count_as_connections(live: Live, authority: Authority) -> None:
    router = await live.router(
        await live.origin(), listener=listener(authority.issue("a", HOST)), limits={"connections": 1}
    )
    silent = await live.client(router)
    await eventually(lambda: router.worker.admission.handshakes)
    assert await (await live.client(router)).cut() == b""
    assert router.gauge(Gauge.CONNECTIONS_REFUSED) == 1
    silent.reset()
    await eventually(lambda: not router.worker.admission.handshakes)
    assert (await (await live.client(router, authority.client(), HOST)).ask(request())).status == 200


async def test_draining_ends_handshakes_and_idle_connections(live: Live, authority: Authority) -> None:
    router = await tls_router(live, authority.issue("a", HOST))
    idle, silent = await live.client(router, authority.client(), HOST), await live.client(router)
    assert (await idle.ask(request())).status == 200
    await eventually(lambda: router.worker.admission.handshakes)
    router.worker.drain()
    assert await silent.cut() == b""
    assert await idle.rest() == b""
    await eventually(lambda: not router.worker.admission.clients)


async def test_a_client_that_never_says_farewell_is_not_waited_for(live: Live, authority: Authority) -> None:
    router = await tls_router(live, authority.issue("a", HOST))
    client = await live.client(router, authority.client(), HOST)
    assert (await client.ask(request())).status == 200
    client.writer.transport.pause_reading()  # type: ignore[attr-defined]
    router.worker.drain()
    router.sweep(ahead_s=6.0)
    await eventually(lambda: not router.worker.admission.clients)


async def test_a_slow_client_has_all_of_a_last_response(live: Live, authority: Authority) -> None:
    body = b"x" * 3_000_000
    origin = await live.origin(saying(ok(body)))
    router = await live.router(origin, listener=listener(authority.issue("a", HOST)))
    client = await live.client(router, authority.client(), HOST)
    client.writer.transport.pause_reading()  # type: ignore[attr-defined]
    await client.send(request("GET", "/", "connection: close"))
    await eventually(lambda: origin.requests)
    router.sweep(ahead_s=10.0)
    client.writer.transport.resume_reading()  # type: ignore[attr-defined]
    assert (await client.response()).body == body
    assert await client.rest() == b""


async def test_a_refused_request_has_its_answer(live: Live, authority: Authority) -> None:
    router = await live.router(
        await live.origin(), listener=listener(authority.issue("a", HOST)), limits={"body_bytes": 10}
    )
    client = await live.client(router, authority.client(), HOST)
    await client.send(request("POST", "/", body=b"x" * 100_000))
    assert (await client.response()).status == 413


async def test_a_broken_response_is_not_taken_for_complete(live: Live, authority: Authority) -> None:
    origin = await live.origin(saying(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf", then_close=True))
    router = await live.router(origin, listener=listener(authority.issue("a", HOST)))
    client = await live.client(router, authority.client(), HOST)
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await client.ask(request())


async def test_sessions_are_resumed_where_one_worker_serves(live: Live, authority: Authority) -> None:
    router = await tls_router(live, authority.issue("a", HOST))
    tls = authority.client()
    reused = await asyncio.to_thread(resumes, router.port, tls)
    assert reused


def resumes(port: int, tls: ssl.SSLContext) -> bool:
    """Whether a second connection resumes the session of the first."""
    session = None
    for _ in range(2):
        with (
            socket.create_connection(("127.0.0.1", port), 10) as sock,
            tls.wrap_socket(sock, server_hostname=HOST, session=session) as connection,
        ):
            connection.sendall(request("GET", "/", "connection: close"))
            while connection.recv(65_536):
                pass
            session, reused = connection.session, connection.session_reused
    return bool(reused)


# Client certificates


@pytest.mark.parametrize("kind", ["optional", "required"])
async def test_backends_hear_of_a_verified_certificate(live: Live, authority: Authority, kind: str) -> None:
    origin = await live.origin()
    own = authority.issue("me", "alice.example", common_name="alice, first", organization_name="Größe")
    router = await live.router(
        origin,
        listener=listener(authority.issue("a", HOST), client_certificate=kind, client_ca=authority.path),
    )
    client = await live.client(router, authority.client(own), HOST)
    claims = ("x-client-cert-subject: CN=mallory", "X-Client-Cert-Verify: NONE", "x_client_cert_fingerprint: 00")
    assert (await client.ask(request("GET", "/", *claims))).status == 200
    headers = [(name, value) for name, value in origin.requests[0].headers if b"client" in name]
    der = ssl.PEM_cert_to_DER_cert(Path(own["certificate"]).read_text())
    assert headers[0] == (b"x-client-cert-verify", b"SUCCESS")
    assert headers[1][0] == b"x-client-cert-subject"
    assert headers[1][1].startswith(rb"CN=alice\, first,")
    assert headers[1][1].endswith(rb"O=Gr\C3\B6\C3\9Fe")
    assert headers[2:] == [(b"x-client-cert-fingerprint", hashlib.sha256(der).hexdigest().encode())]


async def test_a_certificate_may_be_missing_where_it_is_optional(live: Live, authority: Authority) -> None:
    origin = await live.origin()
    router = await live.router(
        origin,
        listener=listener(authority.issue("a", HOST), client_certificate="optional", client_ca=authority.path),
    )
    client = await live.client(router, authority.client(), HOST)
    assert (await client.ask(request("GET", "/", "x-client-cert-verify: SUCCESS"))).status == 200
    assert [pair for pair in origin.requests[0].headers if b"client" in pair[0]] == [(b"x-client-cert-verify", b"NONE")]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_clients_without_a_valid_certificate_are_refused(
    live: Live, authority: Authority, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    required = await tls_router(
        live, authority.issue("a", HOST), client_certificate="required", client_ca=authority.path
    )
    optional = await tls_router(
        live, authority.issue("a", HOST), client_certificate="optional", client_ca=authority.path
    )
    stranger = authority.client(Authority(tmp_path, "other").issue("stranger", "mallory.example"))
    expired = authority.client(authority.issue_expired("expired", "old.example"))
    nobody = authority.client()
    for tls in (stranger, expired, nobody):
        tls.maximum_version = tls.minimum_version = version
        await refused(live, required, tls)
    await refused(live, optional, stranger)


@pytest.mark.parametrize("trusted", [False, True])
@pytest.mark.parametrize("secure", [False, True])
async def test_claims_of_certificates_pass_from_trusted_proxies_only(
    live: Live, authority: Authority, trusted: bool, secure: bool
) -> None:
    origin = await live.origin()
    settings: dict[str, Any] = {"trusted_proxies": ["127.0.0.0/8"] if trusted else []}
    if secure:
        settings |= listener(authority.issue("a", HOST), client_certificate="required", client_ca=authority.path)
    router = await live.router(origin, listener=settings)
    own = authority.issue("proxy", "proxy.example")
    client = await (live.client(router, authority.client(own), HOST) if secure else live.client(router))
    claims = ("X-Client-Cert-Verify: SUCCESS", "X-Client-Cert-Subject: CN=alice", "x_client_cert_subject: CN=eve")
    assert (await client.ask(request("GET", "/", *claims))).status == 200
    headers = dict(origin.requests[0].headers)
    assert b"x_client_cert_subject" not in headers
    if trusted:
        assert headers[b"x-client-cert-subject"] == b"CN=alice"
        assert headers[b"x-forwarded-proto"] == (b"https" if secure else b"http")
    elif secure:
        assert headers[b"x-client-cert-verify"] == b"SUCCESS"
        assert b"alice" not in headers[b"x-client-cert-subject"]
    else:
        assert not [name for name in headers if b"client" in name]


# Renewal


async def test_a_renewed_certificate_is_shown_and_connections_stay(live: Live, authority: Authority) -> None:
    router = await tls_router(live, authority.issue("a", HOST), authority.issue("b", "b.example"))
    before = await live.client(router, authority.client(), HOST)
    authority.issue("a", HOST, "renewed.example")
    after = await live.client(router, authority.client(), HOST)
    assert "renewed.example" not in shown_hosts(before)
    assert "renewed.example" in shown_hosts(after)
    assert (await before.ask(request())).status == (await after.ask(request())).status == 200
    other = await live.client(router, authority.client(), "renewed.example")
    assert "renewed.example" in shown_hosts(other)


@pytest.mark.parametrize("trouble", ["gone", "damaged", "of another key", "expired"])
async def test_a_bad_new_file_changes_nothing(
    live: Live, authority: Authority, caplog: pytest.LogCaptureFixture, trouble: str
) -> None:
    files = authority.issue("a", HOST, "first.example")
    certificate = Path(files["certificate"])
    router = await tls_router(live, files)
    if trouble == "gone":
        certificate.unlink()
    elif trouble == "damaged":
        certificate.write_bytes(certificate.read_bytes()[:300])
    elif trouble == "expired":
        authority.issue_expired("a", HOST)
    else:
        certificate.write_bytes(Path(authority.issue("b", HOST)["certificate"]).read_bytes())
    for _ in range(3):
        client = await live.client(router, authority.client(), HOST)
        assert "first.example" in shown_hosts(client)
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert len(said) == 1
    assert said[0].endswith("what was loaded before stays in use")
    assert str(certificate) in said[0]
    caplog.clear()
    authority.issue("a", HOST, "second.example")
    assert "second.example" in shown_hosts(await live.client(router, authority.client(), HOST))


async def test_a_worker_starts_without_a_certificate_and_takes_it_up(
    live: Live, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    files = authority.issue("a", HOST)
    Path(files["key"]).unlink()
    router = await tls_router(live, files)
    assert [record.levelno for record in caplog.records if "cannot be read" in record.getMessage()] == [logging.ERROR]
    caplog.clear()
    await refused(live, router, authority.client())
    authority.issue("a", HOST)
    assert (await (await live.client(router, authority.client(), HOST)).ask(request())).status == 200


async def test_new_authorities_for_clients_are_taken_up(live: Live, authority: Authority, tmp_path: Path) -> None:
    clients = Authority(tmp_path, "clients")
    router = await tls_router(live, authority.issue("a", HOST), client_certificate="required", client_ca=clients.path)
    first = authority.client(clients.issue("first", "alice.example"))
    assert (await (await live.client(router, first, HOST)).ask(request())).status == 200
    successor = Authority(tmp_path, "clients")
    second = authority.client(successor.issue("second", "alice.example"))
    assert (await (await live.client(router, second, HOST)).ask(request())).status == 200
    await refused(live, router, first)


# Between the router and backends


def to_backends(authority: Authority, **tls: Any) -> dict[str, Any]:
    return {"tls": {"ca": authority.path, **tls}, "ejection": None}


async def test_requests_over_one_connection_to_a_backend(live: Live, authority: Authority) -> None:
    origin = await live.origin(tls=authority.server(authority.issue("o", "127.0.0.1")))
    router = await live.router(origin, pool=to_backends(authority))
    client = await live.client(router)
    body = bytes(range(256)) * 4_096
    for _ in range(3):
        asked = asyncio.create_task(client.send(request("POST", "/", body=body)))
        assert (await client.response()).body == body
        await asked
    assert len(origin.links) == 1
    await client.close()


async def test_a_backend_by_another_name(live: Live, authority: Authority) -> None:
    names: list[str | None] = []
    tls = authority.server(authority.issue("o", "inner.example"))
    tls.sni_callback = lambda _connection, name, _context: names.append(name)
    origin = await live.origin(tls=tls)
    router = await live.router(origin, pool=to_backends(authority, server_name="inner.example"))
    assert (await (await live.client(router)).ask(request())).status == 200
    assert names == ["inner.example"]


async def speaking_plainly(link: Link) -> None:
    await link.reader.read(1)
    await link.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    await link.end()


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        ("name", "IP address mismatch, certificate is not valid for '127.0.0.1'"),
        ("authority", "unable to get local issuer certificate"),
        ("expired", "certificate has expired"),
        ("plain", "wrong version number"),
        ("server_name", "Hostname mismatch, certificate is not valid for 'inner.example'"),
    ],
)
async def test_a_backend_that_is_not_to_be_trusted(
    live: Live, authority: Authority, tmp_path: Path, caplog: pytest.LogCaptureFixture, trouble: str, reason: str
) -> None:
    files = authority.issue("o", "other.example" if trouble == "name" else "127.0.0.1")
    if trouble == "expired":
        files = authority.issue_expired("o", "127.0.0.1")
    if trouble == "authority":
        files = Authority(tmp_path, "other").issue("o", "127.0.0.1")
    origin = await (live.origin(speaking_plainly) if trouble == "plain" else live.origin(tls=authority.server(files)))
    about = {"server_name": "inner.example"} if trouble == "server_name" else {}
    router = await live.router(origin, pool=to_backends(authority, **about))
    client = await live.client(router)
    for _ in range(2):
        answer = await client.ask(request())
        assert answer.status == 502
        assert reason not in answer.body.decode()
        assert origin.address not in answer.body.decode()
    assert await router.outcomes(2) == [Outcome.CONNECT_FAILED] * 2
    assert origin.requests == []
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(said) == 1
    assert said[0].startswith(f"pool web: cannot connect to backend {origin.address}: ")
    assert reason in said[0]


async def test_verification_can_be_switched_off(live: Live, authority: Authority) -> None:
    origin = await live.origin(tls=authority.server(authority.issue("o", "other.example")))
    router = await live.router(origin, pool={"tls": {"verify": False}})
    assert (await (await live.client(router)).ask(request())).status == 200


async def test_the_system_is_trusted_by_default(
    live: Live, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", authority.path)
    origin = await live.origin(tls=authority.server(authority.issue("o", "127.0.0.1")))
    router = await live.router(origin, pool={"tls": {}})
    assert (await (await live.client(router)).ask(request())).status == 200


async def test_the_routers_own_certificate_is_renewed_too(live: Live, authority: Authority, tmp_path: Path) -> None:
    origin = await live.origin(tls=authority.server(authority.issue("o", "127.0.0.1"), asks=True))
    own = Authority(tmp_path, "other").issue("router", "router.example")
    router = await live.router(
        origin,
        pool={**to_backends(authority, **own, reload_s=0.000_1), "idle_connections": {"max_per_backend": 0}},
    )
    client = await live.client(router)
    assert (await client.ask(request())).status == 502
    authority.issue("router", "router.example")
    assert (await client.ask(request())).status == 200


async def test_an_older_backend_is_refused(live: Live, authority: Authority) -> None:
    tls = authority.server(authority.issue("o", "127.0.0.1"))
    tls.maximum_version = ssl.TLSVersion.TLSv1_2
    origin = await live.origin(tls=tls)
    router = await live.router(origin, pool=to_backends(authority, min_version="1.3"))
    assert (await (await live.client(router)).ask(request())).status == 502


async def test_a_handshake_outlives_a_reload(live: Live, authority: Authority) -> None:
    router = await live.router(await live.origin(), listener=listener(authority.issue("a", HOST)))
    client = await live.client(router)
    await eventually(lambda: router.worker.admission.handshakes)
    router.worker.retire(20.0)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await client.reader.read(1)
    assert not router.worker.idle
    router.worker.drain()
    assert await client.cut() == b""


async def test_a_server_name_that_cannot_be_read_is_one_failed_handshake_and_no_traceback(
    live: Live, authority: Authority, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "unraisablehook", ignore_unreadable_names)
    router = await live.router(await live.origin(), listener=listener(authority.issue("a", HOST)))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    out = ssl.MemoryBIO()
    connection = context.wrap_bio(ssl.MemoryBIO(), out, server_hostname="aaaa.example")
    with pytest.raises(ssl.SSLWantReadError):
        connection.do_handshake()
    client = await live.client(router)
    await client.send(out.read().replace(b"aaaa.example", b"\xff\xff\xff\xff.example"))
    await client.cut()
    await eventually(lambda: router.worker.front.tls_handshakes_failed == 1)
    assert "Traceback" not in capfd.readouterr().err
