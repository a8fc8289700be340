"""A reload with certificates that cannot be read is refused, in the words of `smartlb check`."""

from pathlib import Path

import pytest

from smartlb.cli.commands import check
from tests.served import configuration, serving


async def test_unreadable_certificates_change_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = configuration(["127.0.0.1:9"], {"policy": "round_robin"})
    async with serving(config, tmp_path) as router:
        missing = {"certificate": str(tmp_path / "no.crt"), "key": str(tmp_path / "no.key")}
        tls = {"certificates": [missing]}
        router.rewrite({**config, "listeners": [{**config["listeners"][0], "tls": tls}]})
        status, answer = await router.post("/reload")
        assert (status, answer["reloaded"]) == (422, False)
        assert check(str(router.file), 1_000_000) != 0
        said = capsys.readouterr()
        assert any("no.crt" in problem for problem in answer["problems"])
        for problem in answer["problems"]:
            assert problem in said.err + said.out
        assert (await router.status())["generation"] == 1
