"""rewrite: another prefix in the path that backends get."""

import re
from urllib.parse import quote

from smartlb.routing.path import canonical_path
from smartlb.stages.context import Context
from smartlb.stages.stage import Stage

# Where a path is spelled so, a backend may find other segments in it than its bytes say.
_AMBIGUOUS = re.compile(rb"(?i)/\.|//|%2e|%2f")
_LITERAL = "/!$&'()*+,;=:@"


class PrefixRewrite(Stage):
    """Puts one prefix of paths in the place of another.

    Args:
        old: the route's path_prefix, unescaped.
        new: as it is sent.
    """

    def __init__(self, old: str, new: str) -> None:
        self._old = old.rstrip("/").encode()
        self._new = new.rstrip("/").encode()

    def request(self, context: Context) -> None:
        """Change the target."""
        context.target = self.target(context.target)

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
