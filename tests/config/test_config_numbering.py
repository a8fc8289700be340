from smartlb.config.load import parse
from smartlb.config.numbering import Numbering


def test_numbers_follow_the_order_of_the_file() -> None:
    numbering = Numbering(
        parse(
            """\
listeners: [{bind: h:80}]
pools:
  web: {backends: [a:1, {name: b, address: b:1}]}
  api: {backends: [c:1]}
routes: [{name: api, match: {path_prefix: /api}, pool: api}, {name: rest, pool: web}]
request_classes: [{name: upload, match: {methods: [PUT]}}]
""",
            "f.yaml",
        )
    )
    assert [(member.index, member.pool, member.position, member.settings.label) for member in numbering.backends] == [
        (0, "web", 0, "a:1"),
        (1, "web", 1, "b"),
        (2, "api", 0, "c:1"),
    ]
    assert numbering.pools == {"web": range(2), "api": range(2, 3)}
    assert numbering.classes == ["default", "upload"]
    assert numbering.routes == ["api", "rest"]
