"""What a certificate says of itself: for which names it is, as whose, and until when.

cryptography is imported at the first certificate that is read: 9 MB that a router without TLS has no use for.
"""

from __future__ import annotations

from time import time
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeVar

from smartlb.tls.files import CertificateError, contents

if TYPE_CHECKING:
    from cryptography import x509

Role = Literal["server", "client"]

E = TypeVar("E", bound="x509.ExtensionType")


class Certificate(NamedTuple):
    """What there is to know of a certificate that the router shows.

    Attributes:
        names: the host names that it is for, in lower case; a first label may be ``*``.
        not_after_s: when it expires, in seconds since 1970.
    """

    names: tuple[str, ...]
    not_after_s: float

    @property
    def expired(self) -> bool:
        """Whether peers will refuse it."""
        return self.not_after_s < time()

    def expiry(self, path: str) -> str:
        """What to say of it when it has expired; `path` is its file's."""
        days = (time() - self.not_after_s) / 86_400
        return f"the certificate {path} expired {days:.1f} days ago: renew it"


def read(path: str, role: Role) -> Certificate:
    """The first certificate in a PEM file.

    Args:
        path: the file's.
        role: as what it is going to be shown.

    Raises:
        CertificateError: there is none, it is not well-formed, or it is for another role.
    """
    from cryptography import x509

    try:
        found = x509.load_pem_x509_certificate(contents(path, "certificate"))
        reason = _unfit(found.extensions, role)
        names = _host_names(found)
    except (ValueError, x509.DuplicateExtension) as error:
        raise CertificateError(f"{path} holds no valid certificate: {error}") from None
    if reason:
        raise CertificateError(f"{path} cannot be used as the certificate of a {role}: {reason}")
    return Certificate(names, found.not_valid_after_utc.timestamp())


def _unfit(extensions: x509.Extensions, role: Role) -> str:
    """Why peers refuse a certificate in a role (RFC 5280 sections 4.2.1.3 and 4.2.1.12); empty where they do not."""
    from cryptography import x509
    from cryptography.x509.oid import ExtendedKeyUsageOID

    purposes = _extension(extensions, x509.ExtendedKeyUsage)
    allowed = {
        ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
        ExtendedKeyUsageOID.SERVER_AUTH if role == "server" else ExtendedKeyUsageOID.CLIENT_AUTH,
    }
    if purposes is not None and not allowed & set(purposes):
        return f"its extended key usage is without {role}Auth"
    usage = _extension(extensions, x509.KeyUsage)
    if usage is not None and not (usage.digital_signature or usage.key_agreement or usage.key_encipherment):
        return "its key usage is without digitalSignature"
    return ""


def _host_names(certificate: x509.Certificate) -> tuple[str, ...]:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    alternatives = _extension(certificate.extensions, x509.SubjectAlternativeName)
    if alternatives is None:
        # Clients of today look at the alternative names only (RFC 9525), but those of such a certificate may not.
        common = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return tuple(str(name.value).lower() for name in common)
    return tuple(name.lower() for name in alternatives.get_values_for_type(x509.DNSName))


def _extension(extensions: x509.Extensions, kind: type[E]) -> E | None:
    from cryptography import x509

    try:
        return extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def subject(encoded: bytes) -> str | None:
    """Whose a certificate is, as RFC 4514 writes names, such as ``CN=alice,O=Example``; always printable ASCII.

    Args:
        encoded: the certificate in DER.

    Returns:
        None where the name is not well-formed, which OpenSSL may accept.
    """
    from cryptography import x509

    try:
        name = x509.load_der_x509_certificate(encoded).subject.rfc4514_string(_other_types())
    except ValueError:
        return None
    # What is left of RFC 4514 section 2.4: any byte may be written as two digits.
    return "".join(
        character if " " <= character <= "~" else "".join(f"\\{byte:02X}" for byte in character.encode())
        for character in name
    )


def _other_types() -> dict[x509.ObjectIdentifier, str]:
    """Types of which RFC 4514 has no short name, by those that OpenSSL has."""
    from cryptography.x509.oid import NameOID

    return {
        NameOID.EMAIL_ADDRESS: "emailAddress",
        NameOID.GIVEN_NAME: "givenName",
        NameOID.ORGANIZATION_IDENTIFIER: "organizationIdentifier",
        NameOID.SERIAL_NUMBER: "serialNumber",
        NameOID.SURNAME: "surname",
        NameOID.TITLE: "title",
    }
