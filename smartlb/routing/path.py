# cython: annotation_typing=False
"""The path of a request as routes see it."""

from urllib.parse import unquote_to_bytes

from smartlb.core.outcome import Outcome
from smartlb.wire.http1 import RequestRefused


def canonical_path(target: bytes) -> bytes:
    r"""The path of a target as routes see it, so that no spelling of a path slips past a route.

    It is unescaped, ``\`` is ``/``, and empty and ``.`` segments are left out, as are the parameters of segments
    (``;`` and what follows it, RFC 3986 section 3.3): servlet containers take them off before they look at a path, and
    many servers on Windows take either slash. Only matching uses it; the target is forwarded as it came.

    Raises:
        RequestRefused: there is a ``..`` segment. A backend might take the path for what stands before it, where a
            route takes it for what is left; clients resolve such segments themselves (RFC 3986 section 5.2.4).
    """
    last = 0
    text = target
    for at in range(len(target)):
        byte = text[at]
        if byte == ord("?"):
            return text[:at]
        if byte in (ord("%"), ord(";"), ord("\\")):
            return _resolved(target)
        if last == ord("/") and byte in (ord("/"), ord(".")):
            return _resolved(target)
        last = byte
    return target


def _resolved(target: bytes) -> bytes:
    kept: list[bytes] = []
    name = b""
    for segment in unquote_to_bytes(target.partition(b"?")[0]).replace(b"\\", b"/").split(b"/"):
        name = segment.partition(b";")[0]
        if name == b"..":
            raise RequestRefused(Outcome.BAD_REQUEST, "the path has a .. segment")
        if name not in (b"", b"."):
            kept.append(name)
    slash = b"/" if kept and name in (b"", b".") else b""
    return b"/" + b"/".join(kept) + slash
