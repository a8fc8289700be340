"""Changes to requests and responses on their way through a route."""

import re
from collections.abc import Mapping, Sequence
from urllib.parse import quote

from smartlb.routing.path import canonical_path

# Where a path is spelled so, a backend may find other segments in it than its bytes say.
_AMBIGUOUS = re.compile(rb"(?i)/\.|//|%2e|%2f")
_LITERAL = "/!$&'()*+,;=:@"


class PrefixRewrite:
    """Puts one prefix of paths in the place of another.

    Args:
        old: the route's path_prefix, unescaped.
        new: as it is sent.
    """

    def __init__(self, old: str, new: str) -> None:
        self._old = old.rstrip("/").encode()
        self._new = new.rstrip("/").encode()

    def target(self, target: bytes) -> bytes:
        """The target to send for one that the route has matched.

        A path that is spelled otherwise than plainly is sent in its canonical form, as nginx does where proxy_pass
        has a path: what follows the old prefix must not climb out of the new one.
        """
        if target[:1] != b"/":
            return target  # OPTIONS *
        path, mark, query = target.partition(b"?")
        rest = path[len(self._old) :]
        plain = path.startswith(self._old) and rest[:1] in (b"/", b"") and not _AMBIGUOUS.search(path)
        if not plain:
            rest = quote(canonical_path(path)[len(self._old) :], safe=_LITERAL).encode()
        return (self._new + rest or b"/") + mark + query


class HeaderEdits:
    """Headers that are set or removed, on a head that is otherwise kept as it came.

    Names with _ for - are the same to many backends, so they go too.

    Args:
        settings: the headers to set, with their values.
        removed: the names of those to remove.
    """

    def __init__(self, settings: Mapping[str, str], removed: Sequence[str]) -> None:
        self._names = frozenset(_spelled_alike(name.encode()) for name in (*settings, *removed))
        self._lines = [b"%s: %s" % (name.encode(), value.encode("latin-1")) for name, value in settings.items()]

    def __bool__(self) -> bool:
        return bool(self._names)

    def apply(self, head: bytes) -> bytes:
        """The head with the changes; its first line, which may be empty, stays the first."""
        first, *lines = head.split(b"\r\n")
        names = self._names
        kept = [line for line in lines if _spelled_alike(line.partition(b":")[0]) not in names]
        return b"\r\n".join((first, *self._lines, *kept))


def _spelled_alike(name: bytes) -> bytes:
    return name.lower().replace(b"_", b"-")
