import json
from pathlib import Path

import pytest
import yaml

from benchmarks.peers import PEERS
from benchmarks.peers.peer import Site, first_version
from benchmarks.rig.backends import backends, nginx_config
from benchmarks.rig.processes import Server, command_line, free_address, process_tree
from benchmarks.rig.reachable import await_listener, check_response
from benchmarks.rig.shapes import BODIES, SHAPES
from smartlb.config.model import Config

BACKENDS = ("127.0.0.1:18001", "127.0.0.1:18002")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path, "127.0.0.1:18000", BACKENDS)


@pytest.mark.parametrize("name", PEERS)
def test_a_configuration_names_every_backend(name: str, site: Site) -> None:
    text = "\n".join(PEERS[name].files(site).values())
    for backend in site.backends:
        host, _, port = backend.rpartition(":")
        assert backend in text or (f'"address": "{host}"' in text and f'"port_value": {port}' in text)


@pytest.mark.parametrize("name", PEERS)
def test_the_arguments_name_a_file_that_is_written(name: str, site: Site) -> None:
    arguments = " ".join(PEERS[name].arguments(site))
    assert any(f"{site.folder}/{file}" in arguments for file in PEERS[name].files(site))


@pytest.mark.parametrize("name", ["envoy", "traefik", "caddy"])
def test_configurations_in_json_are_json(name: str, site: Site) -> None:
    for text in PEERS[name].files(site).values():
        assert isinstance(json.loads(text), dict)


def test_smartlb_is_measured_with_one_worker_and_the_learned_policy(site: Site) -> None:
    config = Config.model_validate(yaml.safe_load(PEERS["smartlb"].files(site)["smartlb.yaml"]))
    assert config.workers == 1
    assert config.access_log is None
    (pool,) = config.pools.values()
    assert pool.policy.name == "learned"
    assert [backend.address for backend in pool.backends] == list(BACKENDS)


def test_the_backends_listen_where_they_are_told(tmp_path: Path) -> None:
    config = nginx_config(tmp_path, "127.0.0.1:18009")
    assert "listen 127.0.0.1:18009 " in config
    assert f'return 200 "{BODIES["/small"].decode()}";' in config
    assert "location = /100k" not in config


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("nginx version: nginx/1.22.1\n", "1.22.1"),
        ("HAProxy version 2.8.25-5cf5d0683 2026/06/26 - https://haproxy.org/", "2.8.25"),
        ("envoy  version: 9e5580933739/1.40.0/Clean/RELEASE/BoringSSL", "1.40.0"),
        ("v2.11.7 h1:yj0Y4fYZGPk=", "2.11.7"),
        ("no number here", "unknown"),
    ],
)
def test_versions_are_found_in_what_programs_print(text: str, version: str) -> None:
    assert first_version(text) == version


@pytest.mark.parametrize("name", PEERS)
def test_an_installed_peer_answers_every_shape_correctly(name: str, tmp_path: Path) -> None:
    peer = PEERS[name]
    program = peer.find()
    if program is None:
        pytest.skip(f"{name} is not installed")
    assert peer.version(program) != "unknown"
    with backends(core=None) as addresses:
        site = Site(tmp_path, free_address(), addresses)
        for file, content in peer.files(site).items():
            (tmp_path / file).write_text(content)
        with Server([*program, *peer.arguments(site)], tmp_path, None, peer.environ(site)) as server:
            address = await_listener(server, lambda: peer.address(site))
            for shape in SHAPES.values():
                check_response(address, shape)
            tree = process_tree(server.pid)
            assert any(peer.worker in command_line(pid) for pid in tree)
        assert not server.running
        assert not any(command_line(pid) for pid in tree)
