"""Backends from a file: a JSON or YAML list, looked at at an interval.

Write a new file beside it and rename it over the old one, as with Envoy's EDS files: a file that is read while it is
written is whole or, most likely, invalid, and an invalid one changes nothing.
"""

import asyncio
import stat
from pathlib import Path

import yaml
from pydantic import TypeAdapter, ValidationError

from smartlb.config.discovery import FileDiscovery
from smartlb.config.model import Backend
from smartlb.control.discovery.source import NotFound

_LARGEST = 4 * 1024 * 1024

_BACKENDS = TypeAdapter(list[Backend])


class FileSource:
    """A file with a list of backends, each written as in the configuration.

    An empty list is an answer: there are no backends. An empty file is none.
    """

    def __init__(self, settings: FileDiscovery) -> None:
        self._path = Path(settings.path)
        self._seen: tuple[int, int, int] | None = None
        self.again_s = settings.interval_s

    async def look(self) -> list[Backend] | None:
        """What the file lists, where it has changed."""
        return await asyncio.to_thread(self._look)

    def _look(self) -> list[Backend] | None:
        try:
            about = self._path.stat()
            seen = (about.st_ino, about.st_mtime_ns, about.st_size)
            if seen == self._seen:
                return None
            if not stat.S_ISREG(about.st_mode):
                raise NotFound(f"{self._path} is no regular file")
            if about.st_size > _LARGEST:
                raise NotFound(f"{self._path} has {about.st_size} bytes, more than {_LARGEST}")
            text = self._path.read_bytes()
        except OSError as error:
            self._seen = None
            raise NotFound(f"{self._path} cannot be read: {error.strerror}") from None
        backends = listed(text, str(self._path))
        self._seen = seen
        return backends


def listed(text: bytes, name: str) -> list[Backend]:
    """The backends that a file lists.

    Args:
        text: JSON or YAML, of which JSON is a part.
        name: what errors call the file.

    Raises:
        NotFound: the text is something else, or one of the backends is invalid, or is there twice.
    """
    try:
        data = yaml.safe_load(text.decode())
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise NotFound(f"{name} is neither JSON nor YAML: {' '.join(str(error).split())}") from None
    if not isinstance(data, list):
        what = "nothing" if data is None else type(data).__name__
        raise NotFound(f"{name}: expected a list of backends, found {what}")
    try:
        backends = _BACKENDS.validate_python(data)
    except ValidationError as invalid:
        first = invalid.errors()[0]
        place = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in first["loc"])
        raise NotFound(f"{name}: {place}: {first['msg']}") from None
    for key in ("label", "address"):
        seen: set[str] = set()
        for backend in backends:
            if (value := getattr(backend, key)) in seen:
                raise NotFound(f"{name}: two backends are {value!r}; names and addresses must differ")
            seen.add(value)
    return backends
