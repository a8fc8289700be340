"""Secrets for affinity, by environment and by file, show in no output of a router."""

from pathlib import Path

import aiohttp
import pytest

from smartlb.cli.commands import check
from smartlb.config.affinity_secret import NoSecret, secret_of
from smartlb.config.load import load
from tests.served import configuration, serving

_BY_ENV = "env-secret-0123456789abcdef"
_BY_FILE = "file-secret-0123456789abcdef"


async def test_secrets_show_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AFFINITY_SECRET", _BY_ENV)
    file = tmp_path / "secret"
    file.write_text(_BY_FILE)
    config = configuration(
        ["127.0.0.1:9"], {"policy": "round_robin", "affinity": {"kind": "cookie", "secret_env": "AFFINITY_SECRET"}}
    )
    affinity = {"kind": "cookie", "secret_file": str(file)}
    config["pools"]["other"] = {"backends": ["127.0.0.1:9"], "policy": "round_robin", "affinity": affinity}
    config["routes"] = [
        {"name": "other", "match": {"path_prefix": "/other"}, "pool": "other"},
        {"name": "rest", "pool": "web"},
    ]
    async with serving(config, tmp_path) as router:
        assert check(str(router.file), 1_000_000) == 0
        shown = []
        async with aiohttp.ClientSession() as session:
            await (await session.get(router.url)).read()
            for path in ("/status", "/metrics"):
                async with session.get(f"http://{router.admin}{path}") as response:
                    assert response.status == 200
                    shown.append(await response.text())
        file.write_text(_BY_FILE[:15])  # too short: the refusal says so without saying it
        status, answer = await router.post("/reload")
        assert (status, answer["reloaded"]) == (422, False)
        assert "at least 16 bytes" in str(answer)
        with pytest.raises(NoSecret) as refused:
            secret_of("other", load(router.file).pools["other"].affinity)  # type: ignore[arg-type]
        shown += [str(answer), str(refused.value), router.log, *capfd.readouterr()]
        # A secret in place of its name is no less a secret.
        for wrong in ({"secret_env": _BY_ENV}, {"secret_file": _BY_FILE}):
            config["pools"]["other"]["affinity"] = {"kind": "cookie", **wrong}
            router.rewrite(config)
            status, answer = await router.post("/reload")
            assert status == 422
            shown += [str(answer), router.log]
    for text in shown:
        assert _BY_ENV not in text
        assert _BY_FILE[:15] not in text
