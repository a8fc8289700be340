"""What is said of certificates and keys that cannot be used, and how one says it."""

import logging
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from smartlb.cli.commands import check
from smartlb.config.load import parse
from smartlb.config.model import CertificateFiles, Config, ListenerTls
from smartlb.config.problems import ConfigError
from smartlb.tls.files import CertificateError
from smartlb.tls.findings import findings
from smartlb.tls.identity import load_identity
from smartlb.tls.reloading import Reloading
from tests.authority import Authority, Files


def document(*certificates: Files, pool: dict[str, Any] | None = None, **tls: Any) -> dict[str, Any]:
    listener: dict[str, Any] = {"bind": "127.0.0.1:0"}
    if certificates:
        listener["tls"] = {"certificates": list(certificates), **tls}
    web: dict[str, Any] = {"backends": ["127.0.0.1:1"], **({"tls": pool} if pool is not None else {})}
    return {"listeners": [listener], "pools": {"web": web}}


def said(*certificates: Files, **settings: Any) -> list[tuple[int, str]]:
    found = findings(Config.model_validate(document(*certificates, **settings)))
    return [(level, message) for _location, message, level in found]


def test_good_files_are_nothing_to_speak_of(authority: Authority) -> None:
    files = authority.issue("a", "a.example")
    clients = {"client_certificate": "required", "client_ca": authority.path}
    assert said(files, pool={"ca": authority.path, **files}, **clients) == []
    assert said() == said(pool={}) == []


def test_names_and_end_of_a_certificate(authority: Authority) -> None:
    files = CertificateFiles.model_validate(authority.issue("a", "A.example", "*.b.example", "127.0.0.1"))
    identity = load_identity(ListenerTls(certificates=[files]), files, tickets=False)
    assert identity.certificate.names == ("a.example", "*.b.example")
    assert not identity.certificate.expired


def test_a_certificate_and_its_key_in_one_file(authority: Authority, tmp_path: Path) -> None:
    files = authority.issue("a", "a.example")
    both = tmp_path / "both.pem"
    both.touch(0o600)
    both.write_text(Path(files["key"]).read_text() + Path(files["certificate"]).read_text())
    assert said({"certificate": str(both), "key": str(both)}) == []


def encrypted(key: str) -> None:
    command = ["openssl", "pkey", "-in", key, "-aes256", "-passout", "pass:secret", "-out", key + ".new"]
    subprocess.run(command, check=True)
    Path(key + ".new").replace(key)


@pytest.mark.parametrize(
    ("trouble", "message"),
    [
        ("no certificate", "the certificate {certificate} cannot be read: No such file or directory"),
        ("no key", "the key {key} cannot be read: No such file or directory"),
        ("empty certificate", "{certificate} holds no certificate in PEM format"),
        ("empty key", "{key} holds no private key in PEM format"),
        ("other key", "the key {key} is not that of the certificate {certificate}, which must come first in its file"),
        (
            "password",
            "the key {key} has a password, which nobody is there to enter: remove it with `openssl pkey`, and protect ",
        ),
        ("damaged", "{certificate} with the key {key} cannot be used: what is between BEGIN and END is damaged"),
        ("client's", "{certificate} cannot be used as the certificate of a server: its extended key usage is without"),
    ],
)
def test_files_that_cannot_be_used(authority: Authority, trouble: str, message: str) -> None:
    files = authority.issue("a", "a.example")
    certificate, key = Path(files["certificate"]), Path(files["key"])
    match trouble:
        case "no certificate":
            certificate.unlink()
        case "no key":
            key.unlink()
        case "empty certificate":
            certificate.write_text("")
        case "empty key":
            key.write_text("")
        case "other key":
            key.write_text(Path(authority.issue("b", "b.example")["key"]).read_text())
        case "password":
            encrypted(str(key))
        case "damaged":
            certificate.write_text(certificate.read_text()[:300])
        case _:
            files = client_only(certificate.parent)
    ((level, text),) = said(files)
    assert level == logging.CRITICAL
    assert text.startswith(message.format(**files))


def client_only(directory: Path) -> Files:
    """A self-signed certificate that is for clients alone."""
    files = {"certificate": str(directory / "client.pem"), "key": str(directory / "client.key")}
    subprocess.run(
        [
            *(
                "openssl",
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
                "-days",
                "1",
            ),
            *("-subj", "/CN=client", "-addext", "extendedKeyUsage=clientAuth"),
            *("-keyout", files["key"], "-out", files["certificate"]),
        ],
        check=True,
        capture_output=True,
    )
    return files


def test_a_client_certificate_is_good_for_backends(tmp_path: Path) -> None:
    assert said(pool=client_only(tmp_path)) == []


def test_what_has_expired(authority: Authority) -> None:
    files = authority.issue_expired("a", "a.example")
    for found in (said(files), said(pool=files)):
        ((level, message),) = found
        assert level == logging.ERROR
        assert message.startswith(f"the certificate {files['certificate']} expired ")
        assert message.endswith(" days ago: renew it")


def test_a_key_that_everyone_can_read(authority: Authority) -> None:
    files = authority.issue("a", "a.example")
    Path(files["key"]).chmod(0o644)
    message = f"every user of this machine can read the key {files['key']}: chmod o-r"
    assert said(files) == said(pool=files) == [(logging.WARNING, message)]
    Path(files["key"]).chmod(0o640)
    assert said(files) == []


def test_authorities_that_cannot_be_used(authority: Authority, tmp_path: Path) -> None:
    files = authority.issue("a", "a.example")
    missing, empty = str(tmp_path / "missing"), tmp_path / "empty"
    empty.touch()
    ((_, message),) = said(files, client_ca=missing, client_certificate="optional")
    assert message == f"the file of authorities {missing} cannot be read: No such file or directory"
    ((_, message),) = said(pool={"ca": str(empty)})
    assert message == f"{empty} holds no certificate in PEM format"


def test_check_says_it_by_line_and_never_what_is_in_a_key(
    authority: Authority, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = authority.issue("good", "a.example"), authority.issue("bad", "b.example")
    expired = authority.issue_expired("expired", "c.example")
    secret = Path(bad["key"]).read_text().replace("BEGIN", "BEGUN")
    Path(bad["key"]).write_text(secret)
    Path(good["key"]).chmod(0o604)
    path = tmp_path / "smartlb.yaml"
    path.write_text(yaml.safe_dump(document(good, bad, expired)))
    assert check(str(path), 1_000_000) == 2
    output = capsys.readouterr()
    assert output.out == ""
    lines = output.err.splitlines()
    assert lines[0].startswith(f"{path}:5:7: listeners[0].tls.certificates[0]: warning: every user ")
    assert lines[1] == f"{path}:7:7: listeners[0].tls.certificates[1]: {bad['key']} holds no private key in PEM format"
    assert " expired " in lines[2]
    assert not any(line in output.err for line in secret.splitlines())


def test_warnings_alone_are_no_failure(
    authority: Authority, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = authority.issue("a", "a.example")
    Path(files["key"]).chmod(0o604)
    path = tmp_path / "smartlb.yaml"
    path.write_text(yaml.safe_dump(document(files)))
    assert check(str(path), 1_000_000) == 0
    output = capsys.readouterr()
    assert "warning" in output.err
    assert "valid" in output.out


FILES = {"certificate": "a.pem", "key": "a.key"}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (document(FILES, client_certificate="required"), "client_certificate: required needs client_ca"),
        (document(FILES, client_ca="ca.pem"), "client_ca has no effect without client_certificate"),
        (document(FILES, min_version=1.2), "expected '1.2' or '1.3'; found the number 1.2"),
        (document(FILES, ciphers="NONE_SUCH"), "expected ciphers as OpenSSL writes them"),
        (document({"certificate": "a.pem"}), "required, but missing: PEM file with the private key"),
        (document(pool={"certificate": "a.pem"}), "certificate and key go together"),
        (document(pool={"ca": "ca.pem", "verify": False}), "ca has no effect with verify: false"),
        (document(pool={"server_name": "a.example:443"}), "expected a host name or an address, without port"),
    ],
)
def test_settings_that_contradict_themselves(data: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        parse(yaml.safe_dump(data), "smartlb.yaml")


def test_files_are_looked_at_at_an_interval(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("a")
    text = Reloading([str(file)], file.read_text, 10.0)
    assert text.refresh(0.0)
    file.write_text("bc")
    assert not text.refresh(9.9)
    assert text.value == "a"
    assert text.refresh(10.0)
    assert text.value == "bc"
    assert not text.refresh(20.0)


def test_files_that_could_not_be_used_are_tried_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    trouble = True

    def make() -> str:
        if trouble:
            raise CertificateError("no descriptors left")
        return "made"

    file = tmp_path / "file"
    file.write_text("a")
    value = Reloading([str(file)], make, 1.0)
    assert not value.refresh(0.0)
    assert not value.refresh(10.0)
    assert [record.getMessage() for record in caplog.records] == ["no descriptors left"]
    trouble = False
    assert value.refresh(20.0)
    assert value.value == "made"


def test_a_permission_that_changes_is_seen(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("a")
    text = Reloading([str(file)], file.read_text, 1.0)
    assert text.refresh(0.0)
    file.chmod(0o600)
    assert text.refresh(10.0)
