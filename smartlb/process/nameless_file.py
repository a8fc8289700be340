"""Files in memory without a name, by which processes hand each other what is too long for a command line."""

import os
import tempfile


def unlinked_file(content: bytes = b"") -> int:
    """A descriptor of a file in memory that has no name, and goes with the last process that holds it."""
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("smartlb")
    else:
        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
    os.write(fd, content)
    return fd


def content_of(fd: int) -> bytes:
    """All that is in such a file, whoever else reads it."""
    return os.pread(fd, os.fstat(fd).st_size, 0)
