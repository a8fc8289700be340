"""The sources of backends by the key of `discovery` that configures them; `api` has none, as it is told."""

from smartlb.config.discovery import Discovery
from smartlb.control.discovery.dns import DnsSource
from smartlb.control.discovery.file import FileSource
from smartlb.control.discovery.source import Source


def source_of(settings: Discovery) -> Source | None:
    """The source of a pool; None where the admin API says which backends there are."""
    if settings.dns is not None:
        return DnsSource(settings.dns)
    if settings.file is not None:
        return FileSource(settings.file)
    return None


def kind_of(settings: Discovery) -> str:
    """What kind of source a pool has, as metrics and the status name it."""
    return next(kind for kind in ("dns", "file", "api") if getattr(settings, kind) is not None)
