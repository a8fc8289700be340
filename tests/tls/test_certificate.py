"""What is read of a certificate, and whose name backends are told."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from smartlb.tls.certificate import Role, read, subject
from smartlb.tls.files import CertificateError

NOT_AFTER = datetime(2040, 2, 3, 4, 5, 6, tzinfo=UTC)
KEY = ec.generate_private_key(ec.SECP256R1())


def issued(name: x509.Name, *extensions: x509.ExtensionType) -> x509.Certificate:
    """A self-signed certificate."""
    builder = x509.CertificateBuilder(name, name, KEY.public_key(), 1, NOT_AFTER - timedelta(days=1), NOT_AFTER)
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(KEY, SHA256())


def named(*attributes: tuple[ObjectIdentifier, str]) -> x509.Name:
    return x509.Name([x509.NameAttribute(kind, value) for kind, value in attributes])


COMMON = named((NameOID.COMMON_NAME, "Common.Example"))


def stored(directory: Path, *extensions: x509.ExtensionType) -> str:
    path = directory / "certificate.pem"
    path.write_bytes(issued(COMMON, *extensions).public_bytes(Encoding.PEM))
    return str(path)


def usage(**allowed: bool) -> x509.KeyUsage:
    names = (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    )
    return x509.KeyUsage(**dict.fromkeys(names, False) | allowed)


def test_names_and_end(tmp_path: Path) -> None:
    alternatives = x509.SubjectAlternativeName([x509.DNSName("A.example"), x509.DNSName("*.b.example")])
    found = read(stored(tmp_path, alternatives), "server")
    assert found.names == ("a.example", "*.b.example")
    assert found.not_after_s == NOT_AFTER.timestamp()


def test_the_common_name_counts_where_there_are_no_others(tmp_path: Path) -> None:
    assert read(stored(tmp_path), "server").names == ("common.example",)
    only_mail = x509.SubjectAlternativeName([x509.RFC822Name("a@b.example")])
    assert read(stored(tmp_path, only_mail), "server").names == ()


@pytest.mark.parametrize(
    ("role", "extension", "reason"),
    [
        ("server", x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), ""),
        ("server", x509.ExtendedKeyUsage([ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]), ""),
        (
            "server",
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]),
            "usage is without serverAuth",
        ),
        ("client", x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), ""),
        (
            "client",
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]),
            "usage is without clientAuth",
        ),
        ("server", usage(key_encipherment=True), ""),
        ("server", usage(digital_signature=True), ""),
        ("server", usage(key_cert_sign=True), "its key usage is without digitalSignature"),
    ],
)
def test_what_a_certificate_is_for(tmp_path: Path, role: Role, extension: x509.ExtensionType, reason: str) -> None:
    path = stored(tmp_path, extension)
    if not reason:
        read(path, role)
        return
    with pytest.raises(CertificateError, match=f"^{path} cannot be used as the certificate of a {role}: .*{reason}$"):
        read(path, role)


def test_a_certificate_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "certificate.pem"
    path.write_text("-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n")
    with pytest.raises(CertificateError, match=f"^{path} holds no valid certificate: "):
        read(str(path), "server")


@pytest.mark.parametrize(
    ("attributes", "written"),
    [
        ([(NameOID.ORGANIZATION_NAME, "Example"), (NameOID.COMMON_NAME, "alice")], "CN=alice,O=Example"),
        ([(NameOID.COMMON_NAME, 'a,b+c"d\\e<f>;g')], r"CN=a\,b\+c\"d\\e\<f\>\;g"),
        ([(NameOID.COMMON_NAME, " #a ")], r"CN=\ #a\ "),
        ([(NameOID.COMMON_NAME, "#a")], r"CN=\#a"),
        ([(NameOID.COMMON_NAME, "Zoë\r\nx: y\x7f")], r"CN=Zo\C3\AB\0D\0Ax: y\7F"),
        ([(NameOID.COMMON_NAME, "a\0b")], r"CN=a\00b"),
        (
            [(NameOID.EMAIL_ADDRESS, "a@b.example"), (NameOID.SERIAL_NUMBER, "7")],
            "serialNumber=7,emailAddress=a@b.example",
        ),
        ([(NameOID.DOMAIN_COMPONENT, "example"), (NameOID.USER_ID, "u")], "UID=u,DC=example"),
        ([(ObjectIdentifier("1.2.3.4"), "x")], "1.2.3.4=x"),
    ],
)
def test_a_name_as_rfc_4514_writes_it(attributes: list[tuple[ObjectIdentifier, str]], written: str) -> None:
    assert subject(issued(named(*attributes)).public_bytes(Encoding.DER)) == written


def test_parts_of_a_name_that_belong_together() -> None:
    both = [x509.NameAttribute(NameOID.COMMON_NAME, "alice"), x509.NameAttribute(NameOID.USER_ID, "7")]
    name = x509.Name([x509.RelativeDistinguishedName(both)])
    assert subject(issued(name).public_bytes(Encoding.DER)) in ("CN=alice+UID=7", "UID=7+CN=alice")


def test_a_name_that_is_no_text() -> None:
    encoded = issued(COMMON).public_bytes(Encoding.DER).replace(b"Common.Example", b"Common.Examp\xff\xff")
    assert subject(encoded) is None
