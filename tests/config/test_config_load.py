import re
from pathlib import Path

import pytest
import yaml

from smartlb.config.load import load, parse
from smartlb.config.model import Config
from smartlb.config.problems import ConfigError, Problem

VALID = """\
listeners:
  - bind: 127.0.0.1:8080
pools:
  web:
    backends: [10.0.0.1:80, 10.0.0.2:80]
"""


def problems(text: str) -> list[str]:
    """What is wrong with `text`, each as it is shown but without the file's name."""
    with pytest.raises(ConfigError) as raised:
        parse(text, "f.yaml")
    lines = str(raised.value).split("\n")
    assert len(lines) == len(raised.value.problems)
    return [line.removeprefix("f.yaml:") for line in lines]


def in_web(text: str) -> str:
    """`VALID` with more settings of its pool, which begin in line 6 and column 5."""
    return VALID + "".join(f"    {line}\n" for line in text.splitlines())


def test_valid_configuration_with_defaults() -> None:
    config = parse(VALID, "f.yaml")
    assert [backend.address for backend in config.pools["web"].backends] == ["10.0.0.1:80", "10.0.0.2:80"]
    assert config.pools["web"].policy.name == "learned"
    assert [(route.name, route.pool) for route in config.routes] == [("all", "web")]
    assert config.workers >= 1


def test_unknown_policy_is_said_as_documented() -> None:
    (line,) = problems(in_web("policy: lest_connections"))
    assert line.startswith(
        "6:13: pools.web.policy: policy 'lest_connections' unknown; did you mean 'least_connections'? (one of: i"
    )
    assert "round_robin" in line


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (
            "polcy: learned",
            "6:5: pools.web.polcy: key 'polcy' unknown; did you mean 'policy'? (one of: affinity, backends, ",
        ),
        ("policy: 3", "6:13: pools.web.policy: expected a policy's name, or a mapping with `name`"),
        ("policy: {name: 3}", "6:20: pools.web.policy.name: expected text; found the number 3"),
        (
            "policy: {candidates: 3}",
            "6:13: pools.web.policy.name: required, but missing: One of the policies.",
        ),
        (
            "policy:\n  name: learned\n  candidates: 99",
            "8:19: pools.web.policy.candidates: expected a number of at most 8; found the number 99",
        ),
        (
            "policy:\n  name: learned\n  candidatse: 3",
            "8:7: pools.web.policy.candidatse: key 'candidatse' unknown; did you mean 'candidates'?",
        ),
        (
            "policy: {name: learned, candidates: '3'}",
            "6:41: pools.web.policy.candidates: expected a whole number; found '3', which is text",
        ),
        (
            "policy: {name: round_robin, candidates: 3}",
            "6:33: pools.web.policy.candidates: key 'candidates' unknown (one of: name)",
        ),
        ("queue:", "6:11: pools.web.queue: expected a mapping; found nothing"),
        (
            "queue: {timeout_s: 0}",
            "6:24: pools.web.queue.timeout_s: expected a number above 0; found the number 0",
        ),
        (
            "queue: {timeout_s: 86401}",
            "6:24: pools.web.queue.timeout_s: expected a number of at most 86400; found the number 86401",
        ),
        ("queue: {timeout_s: true}", "6:24: pools.web.queue.timeout_s: expected a number; found true"),
        (
            "queue: {timeout_s: .nan}",
            "6:24: pools.web.queue.timeout_s: expected a number; found '.nan', which is text",
        ),
        ("queue: {timeout_s: -.inf}", "6:24: pools.web.queue.timeout_s: expected a number; found '-.inf'"),
        ("queue: {timeout_s: 1e999}", "6:24: pools.web.queue.timeout_s: expected a finite number"),
        (
            "queue: {max_waiting: 2.5}",
            "6:26: pools.web.queue.max_waiting: expected a whole number; found the number",
        ),
        (
            f"queue: {{max_waiting: {'9' * 5000}}}",
            "6:26: pools.web.queue.max_waiting: expected a finite number",
        ),
        (
            "queue: {max_waiting: -1}",
            "6:26: pools.web.queue.max_waiting: expected a number of at least 0; found the",
        ),
        (
            "health_check: {path: 'a'}",
            "6:26: pools.web.health_check.path: expected a path that begins with /",
        ),
        (
            "health_check: {host: on, expected_status: [true]}",
            "6:48: pools.web.health_check.expected_status[0]: ",
        ),
        (
            "health_check: {expected_status: []}",
            "6:37: pools.web.health_check.expected_status: expected at least 1",
        ),
        (
            "health_check: {expected_status: [399-200]}",
            "6:38: pools.web.health_check.expected_status[0]: expected a",
        ),
        (
            "upgrades: [websocket, h2c]",
            "6:27: pools.web.upgrades[1]: expected a protocol such as websocket; not HTTP or TLS",
        ),
        ("upgrades: [TLS/1.0]", "6:16: pools.web.upgrades[0]: expected a protocol such as websocket"),
        ("upgrades: [a b]", "6:16: pools.web.upgrades[0]: expected a protocol such as websocket"),
        ("health_check: [1]", "6:19: pools.web.health_check: expected a mapping; found a list"),
    ],
)
def test_problem_in_a_pool(settings: str, expected: str) -> None:
    (line,) = problems(in_web(settings))
    assert line.startswith(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("lernr: {}", "6:1: lernr: key 'lernr' unknown; did you mean 'learner'?"),
        ("workers: many", "6:10: workers: expected a whole number or `auto`; found 'many'"),
        ("workers: 0", "6:10: workers: expected a number of at least 1; found the number 0"),
        ("workers: true", "6:10: workers: expected a whole number or `auto`; found true"),
        ("shutdown_s: 5s", "6:13: shutdown_s: expected a number; found '5s', which is text"),
        ("access_log: {path: ''}", "6:20: access_log.path: expected text that is not empty; found ''"),
        ("learner: {latency: fist}", "6:20: learner.latency: expected 'first_byte' or 'total'; found 'fist'"),
        (
            "learner: {error_model: x}",
            "6:24: learner.error_model: error model 'x' unknown (one of: ewm_rate, logistic)",
        ),
        (
            "learner: {drift_detector: adwim}",
            "6:27: learner.drift_detector: drift detector 'adwim' unknown; did you",
        ),
        (
            "admin: {bind: localhost}",
            "6:15: admin.bind: expected HOST:PORT, such as 127.0.0.1:8080 or [::1]:8080;",
        ),
        ("admin: {bind: 'h:65536'}", "6:15: admin.bind: expected a port of at most 65535; found 'h:65536'"),
        ("admin: {bind: '[1.2.3.4]:1'}", "6:15: admin.bind: expected an IPv6 address in the brackets"),
        ("routes:", "6:8: routes: expected a list, each item after a dash; found nothing"),
        ("routes: [{pool: web}]", "6:10: routes[0].name: required, but missing: Shown in metrics and logs."),
        ("routes: [{name: a b, pool: web}]", "6:17: routes[0].name: expected a name of up to 64 letters"),
        ("<<: {workers: 1}", "6:1: merge keys (<<) are not supported"),
        ("workers: !env WORKERS", "6:10: workers: the tag '!env' is not supported"),
        ("workers: !!bool maybe", "6:10: workers: expected a truth value; found 'maybe'"),
        ("workers: 1\nworkers: 2", "7:1: workers: key 'workers' is there twice, first in line 6"),
        ("? [a]\n: 1", "6:3: a key must be text"),
        ('"\\ud800": 1', "6:1: the key '\\ud800' is not valid Unicode text"),
        ('access_log: {path: "\\ud800"}', "6:20: access_log.path: not valid Unicode text"),
    ],
)
def test_problem_elsewhere(text: str, expected: str) -> None:
    (line,) = problems(VALID + text)
    assert line.startswith(expected)


@pytest.mark.parametrize(
    ("match", "expected"),
    [
        ("{host: 'a:80'}", "host: expected a host without port"),
        ("{path_prefix: api}", "path_prefix: expected a path that begins with /"),
        ("{path_regex: '['}", "path_regex: expected a regular expression (missing ]"),
        (
            "{path_regex: '/(?!a)'}",
            "path_regex: expected a regular expression (invalid perl operator: (?!; there is no look",
        ),
        ("{path_prefix: /a;b}", "path_prefix: expected a path as routes see it"),
        ("{path_prefix: /a//b}", "path_prefix: expected a path as routes see it"),
        ("{path_prefix: /../b}", "path_prefix: expected a path as routes see it"),
        ("{path_regex: 'a{99999999999999999999}'}", "path_regex: expected a regular expression ("),
        ("{methods: [get]}", "methods[0]: expected a method in capitals, such as GET; found 'get'"),
        ("{methods: GET}", "methods: expected a list, each item after a dash; found 'GET'"),
        (
            "{headers: {x-a: 1}}",
            "headers.x-a: expected text; found the number 1, which is text when in quotes",
        ),
        ("{headers: {x-a: 'a\u0100'}}", "headers.x-a: expected one line of Latin-1 text"),
        ("{headers: {x a: y}}", "headers.'x a': expected the name of an HTTP header; found 'x a'"),
        ("{headers: {x-a: y, X-A: z}}", "headers: header 'x-a' is there twice; case makes no difference"),
    ],
)
def test_problem_in_a_match(match: str, expected: str) -> None:
    (line,) = problems(VALID + f"routes:\n  - name: a\n    pool: web\n    match: {match}\n")
    assert re.sub(r"^9:\d+: routes\[0\]\.match\.", "", line).startswith(expected)


def test_two_kinds_of_path_are_one_too_many() -> None:
    match = "match: {path_prefix: /a, path_regex: b}"
    assert problems(VALID + f"routes:\n  - name: a\n    pool: web\n    {match}\n") == [
        "9:12: routes[0].match: give path_prefix or path_regex, not both"
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "1:1: expected a mapping with `listeners` and `pools`; the file is empty"),
        ("# nothing\n", "1:1: expected a mapping with `listeners` and `pools`; the file is empty"),
        ("- a\n", "1:1: expected a mapping with `listeners` and `pools`; found a list"),
        ("a: [1,\n", "2:1: not YAML: while parsing a flow node"),
        ("a: 1\n b: 2\n", "2:3: not YAML: mapping values are not allowed here"),
        ("a: 1\n---\nb: 2\n", "2:1: not YAML: expected a single document in the stream"),
        ("a: 1\nb: \x07\n", "2:4: the character U+0007 is not allowed"),
        ('a: "\\UFFFFFFFF"', "1:7: not YAML: an escape or a version beyond the numbers there are"),
        ("%YAML 9.9\n--- a\n", "1:1: not YAML: found incompatible YAML document"),
        ("a: *b\n", "1:4: not YAML: found undefined alias 'b'"),
        ("[" * 5000, "1:"),
    ],
)
def test_file_that_is_no_configuration_at_all(text: str, expected: str) -> None:
    (line,) = problems(text)
    assert line.startswith(expected)


def test_an_alias_that_contains_itself() -> None:
    assert any("nested too deeply" in line for line in problems(VALID + "routes: &r [*r]\n"))


def test_aliases_that_multiply() -> None:
    levels = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    levels += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    (line,) = problems("\n".join(levels))
    assert "more than 200000 values" in line


def test_aliases_share_sections() -> None:
    text = VALID.replace("pools:", "pools:\n  api: {backends: [10.0.0.3:80], queue: &queue {max_waiting: 7}}")
    text += "    queue: *queue\nroutes: [{name: all, pool: web}]\n"
    assert [pool.queue.max_waiting for pool in parse(text, "f.yaml").pools.values()] == [7, 7]


def test_scalars_are_those_of_yaml_1_2() -> None:
    text = VALID + (
        "routes: [{name: '1', pool: web, match: {headers: {on: off, X-Day: 2024-01-02, x-time: 12:30}}}]\n"
        "limits: {header_count: 0x40, body_bytes: 0o17}\nshutdown_s: 1e1\nworkers: 010\n"
    )
    config = parse(text, "f.yaml")
    assert config.routes[0].match.headers == {"on": "off", "x-day": "2024-01-02", "x-time": "12:30"}
    assert (config.limits.header_count, config.limits.body_bytes) == (64, 15)
    assert (config.shutdown_s, config.workers) == (10.0, 10)


def test_keys_that_look_like_numbers_are_names() -> None:
    assert list(parse(VALID.replace("web", "404"), "f.yaml").pools) == ["404"]


def test_everything_is_reported_at_once_in_the_order_of_the_file() -> None:
    text = """\
listeners:
  - bindd: 127.0.0.1:8080
pools:
  web:
    backends: [10.0.0.1:0]
    policy: {name: learned, candidates: 9}
routes:
  - {name: a, pool: wbe}
shutdown_s: -1
"""
    assert [line.split(": ")[:2] for line in problems(text)] == [
        ["2:5", "listeners[0].bind"],
        ["2:5", "listeners[0].bindd"],
        ["5:16", "pools.web.backends[0]"],
        ["6:41", "pools.web.policy.candidates"],
        ["8:21", "routes[0].pool"],
        ["9:13", "shutdown_s"],
    ]


def test_no_complaint_about_a_value_that_is_already_unusable() -> None:
    assert problems(VALID.replace("[10.0.0.1:80, 10.0.0.2:80]", "!list []")) == [
        "5:15: pools.web.backends: the tag '!list' is not supported"
    ]


def test_a_pool_with_an_impossible_name_is_one_problem() -> None:
    (line,) = problems(VALID.replace("web", '"a b"'))
    assert line.startswith("4:3: pools.'a b': expected a name of up to 64 letters")


def test_load_reads_a_file(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("\ufeff" + VALID)
    assert load(path) == load(str(path)) == parse(VALID, "")


def test_load_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("")
    with pytest.raises(ConfigError, match=re.escape(f"{path}:1:1: expected a mapping")):
        load(path)


@pytest.mark.parametrize(("name", "reason"), [("none.yaml", "No such file or directory"), ("", "Is a directory")])
def test_load_of_what_cannot_be_read(tmp_path: Path, name: str, reason: str) -> None:
    with pytest.raises(ConfigError) as raised:
        load(tmp_path / name)
    assert raised.value.problems == [Problem("", f"cannot be read: {reason}")]
    assert str(raised.value) == f"{tmp_path / name}: cannot be read: {reason}"


def test_load_of_another_encoding(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(b"a: 1\nb: caf\xe9\n")
    with pytest.raises(ConfigError) as raised:
        load(path)
    assert str(raised.value) == f"{path}:2:7: the byte 0xE9 is not UTF-8; save the file in that encoding"


def test_round_trip_as_json_keeps_options_names_and_routes() -> None:
    text = in_web("policy: {name: learned, candidates: 3}\nhealth_check: {expected_status: [200, 300-399]}")
    config = parse(text, "f.yaml")
    again = Config.model_validate_json(config.model_dump_json())
    assert again == config
    assert again.pools["web"].policy.options.candidates == 3
    assert again.workers == config.workers


@pytest.mark.parametrize("key", ["set_request_headers", "set_response_headers"])
def test_values_of_headers_are_not_cited(key: str) -> None:
    route = {"name": "all", "pool": "web", key: {"x-token": "Bearer s3cret\n"}}
    data = {"listeners": [{"bind": "127.0.0.1:0"}], "pools": {"web": {"backends": ["127.0.0.1:1"]}}, "routes": [route]}
    with pytest.raises(ConfigError) as refused:
        parse(yaml.safe_dump(data), "x.yaml")
    assert "text of 14 characters" in str(refused.value)
    assert "s3cret" not in str(refused.value)
