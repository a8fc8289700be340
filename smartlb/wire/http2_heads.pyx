# cython: boundscheck=False, wraparound=False
"""HTTP/2 header sections as HTTP/1.1 heads and back, without I/O.

RFC 9113 sections 8.1 to 8.3 say what is malformed, section 10.3 what must not get into HTTP/1.1. The library that reads
frames looks at much of that too; what gets into HTTP/1.1 does not rely on it.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memchr, memcmp, memcpy

from smartlb.wire.characters cimport FIELD, KINDS, TARGET, TOKEN
from smartlb.wire.http1 cimport CHUNKED as IN_CHUNKS, UNTIL_CLOSE
from smartlb.wire.names cimport (
    Bytes,
    CONNECTION,
    CONTENT_LENGTH,
    HOST_NAME,
    Name,
    OF_A_HOP,
    TRANSFER_ENCODING,
    UPGRADE,
    is_word,
    name_of,
)
from smartlb.wire.pieces cimport part

cdef enum:
    _MOST_DIGITS = 18  # of a length: it fits 64 bits
    _COOKIE = 6
    _TE = 2  # the length of this name, which is alone in having it

cdef bytes _CHUNKS = b"transfer-encoding: chunked\r\n\r\n"
cdef bytes _CLOSE = b"connection: close\r\n"
cdef bytes _EMPTY = b"content-length: 0\r\n"
cdef tuple _TE_TRAILERS = (b"te", b"trailers")


class Malformed(Exception):
    """A header section that breaks RFC 9113; the message says how."""


cdef class Head:
    """A message's head as HTTP/1.1.

    Attributes:
        raw: from the first line to the empty line.
        chunked: whether its body is to be sent in chunks.
        length: of the body that follows; -1 where it does not say so.
        method: of the request.
    """


cdef class Outgoing:
    """A head for HTTP/2.

    Attributes:
        headers: pseudo-headers first.
        length: of the body, `CHUNKED` or `UNTIL_CLOSE`.
        status: of a response; 0 for others.
        method: of the request.
    """


# From HTTP/2


cdef enum Pseudo:
    METHOD
    SCHEME
    AUTHORITY
    PATH
    STATUS
    _PSEUDOS

cdef enum:
    OF_A_REQUEST = 1 << METHOD | 1 << SCHEME | 1 << AUTHORITY | 1 << PATH
    OF_A_RESPONSE = 1 << STATUS


cdef int _pseudo_of(Bytes name, Py_ssize_t size) noexcept nogil:
    """Which pseudo-header it is; negative for others."""
    if size == 7 and memcmp(name, b":method", 7) == 0:
        return METHOD
    if size == 7 and memcmp(name, b":scheme", 7) == 0:
        return SCHEME
    if size == 10 and memcmp(name, b":authority", 10) == 0:
        return AUTHORITY
    if size == 5 and memcmp(name, b":path", 5) == 0:
        return PATH
    if size == 7 and memcmp(name, b":status", 7) == 0:
        return STATUS
    return -1


cdef struct Section:
    Py_ssize_t size  # of the lines, each with its CRLF
    long long length  # what content-length says; -1 without one
    Py_ssize_t first  # of the headers that are no pseudo-headers
    int hosts
    int cookies


cdef _shown(bytes name):
    return ascii(name[:40].decode("latin-1"))


cdef bint _all(Bytes text, Py_ssize_t size, unsigned char kind) noexcept nogil:
    cdef Py_ssize_t at
    for at in range(size):
        if not KINDS[text[at]] & kind:
            return False
    return True


cdef bint _is_name(Bytes text, Py_ssize_t size) noexcept nogil:
    """Whether it is a token without capital letters."""
    cdef Py_ssize_t at
    for at in range(size):
        if not KINDS[text[at]] & TOKEN or c"A" <= text[at] <= c"Z":
            return False
    return size > 0


cdef bint _is_value(Bytes text, Py_ssize_t size) noexcept nogil:
    """Whether it has the characters of a value only, and no blank around them."""
    if size == 0:
        return True
    return text[0] not in b" \t" and text[size - 1] not in b" \t" and _all(text, size, FIELD)


cdef long long _number(Bytes text, Py_ssize_t size) noexcept nogil:
    """The number that digits are, of which there are 18 at most."""
    cdef long long number = 0
    cdef Py_ssize_t at
    for at in range(size):
        number = 10 * number + text[at] - c"0"
    return number


cdef long long _length(bytes value) except -2:
    cdef Bytes text = <Bytes>PyBytes_AS_STRING(value)
    cdef Py_ssize_t at, size = PyBytes_GET_SIZE(value)
    if not 0 < size <= _MOST_DIGITS:
        raise Malformed("content-length is no number")
    for at in range(size):
        if not c"0" <= text[at] <= c"9":
            raise Malformed("content-length is no number")
    return _number(text, size)


cdef bint _is_left_out(Bytes name, Py_ssize_t size) noexcept:
    """Whether a name, which is a valid one, is written elsewhere or not at all."""
    return (size == _TE and is_word(name, b"te", _TE)) or (size == 4 and is_word(name, b"host", 4))


cdef list _check(tuple headers, int expected, Section* section):
    """Look at all headers; returns the values of the pseudo-headers, of which those in `expected` may be there."""
    cdef list pseudo = [None, None, None, None, None]
    cdef int which
    cdef bytes name, value
    cdef Bytes text
    cdef Py_ssize_t at, size
    cdef Name kind
    section.size = 0
    section.length = -1
    section.first = -1
    section.hosts = section.cookies = 0
    for at in range(len(headers)):
        name, value = headers[at]
        text = <Bytes>PyBytes_AS_STRING(name)
        size = PyBytes_GET_SIZE(name)
        if not _is_value(<Bytes>PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value)):
            raise Malformed(f"the value of {_shown(name)} has a character that it must not have")
        if size and text[0] == c":":
            which = _pseudo_of(text, size)
            if which < 0 or not expected & 1 << which or pseudo[which] is not None or section.first >= 0:
                raise Malformed(f"{_shown(name)} is unknown, there twice, or in the wrong place")
            pseudo[which] = value
            continue
        if not _is_name(text, size):
            raise Malformed(f"{_shown(name)} is no name of a header in lower case")
        if section.first < 0:
            section.first = at
        kind = name_of(text, size)
        if kind == CONTENT_LENGTH:
            if section.length >= 0:
                raise Malformed("content-length is there twice")
            section.length = _length(value)
        elif kind == HOST_NAME:
            section.hosts += 1
            continue
        elif kind == OF_A_HOP and size == _TE:
            if value.lower() != b"trailers":
                raise Malformed("te may only be trailers")
            continue
        elif kind in (CONNECTION, TRANSFER_ENCODING, UPGRADE, OF_A_HOP):  # RFC 9113 section 8.2.2
            raise Malformed(f"{_shown(name)} has no place in HTTP/2")
        elif size == _COOKIE and is_word(text, b"cookie", _COOKIE):
            section.cookies += 1
        section.size += size + PyBytes_GET_SIZE(value) + 4
    if section.first < 0:
        section.first = len(headers)
    return pseudo


cdef inline char* _put(char* to, bytes text) noexcept:
    cdef Py_ssize_t size = PyBytes_GET_SIZE(text)
    memcpy(to, PyBytes_AS_STRING(text), size)
    return to + size


cdef char* _put_lines(char* to, tuple headers, Section* section) except NULL:
    cdef bytes name, value
    cdef Py_ssize_t at
    for at in range(section.first, len(headers)):
        name, value = headers[at]
        if not _is_left_out(<Bytes>PyBytes_AS_STRING(name), PyBytes_GET_SIZE(name)):
            to = _put(_put(_put(_put(to, name), b": "), value), b"\r\n")
    return to


cdef bytes _request_head(bytes method, bytes path, bytes authority, tuple headers, Section* section, bytes end):
    cdef Py_ssize_t size = PyBytes_GET_SIZE(method) + PyBytes_GET_SIZE(path) + section.size + PyBytes_GET_SIZE(end) + 12
    cdef bytes raw
    cdef char* to
    if authority:
        size += PyBytes_GET_SIZE(authority) + 8
    raw = PyBytes_FromStringAndSize(NULL, size)
    to = _put(_put(_put(_put(PyBytes_AS_STRING(raw), method), b" "), path), b" HTTP/1.1\r\n")
    if authority:
        to = _put(_put(_put(to, b"host: "), authority), b"\r\n")
    _put(_put_lines(to, headers, section), end)
    return raw


cdef bytes _response_head(bytes start, bytes code, bytes after, tuple headers, Section* section, bytes end):
    cdef Py_ssize_t size = PyBytes_GET_SIZE(start) + PyBytes_GET_SIZE(code) + PyBytes_GET_SIZE(after) + section.size
    cdef bytes raw = PyBytes_FromStringAndSize(NULL, size + PyBytes_GET_SIZE(end))
    _put(_put_lines(_put(_put(_put(PyBytes_AS_STRING(raw), start), code), after), headers, section), end)
    return raw


cpdef Head request_from_http2(tuple headers, bint complete):
    """The HTTP/1.1 head of a request.

    Args:
        headers: as they came, pseudo-headers included.
        complete: whether there is no body.

    Raises:
        Malformed: a stream error of type PROTOCOL_ERROR.
    """
    cdef Section section
    cdef list pseudo
    cdef bytes method, path, authority, end
    cdef Head head = Head.__new__(Head)
    pseudo = _check(headers, OF_A_REQUEST, &section)
    if section.cookies > 1:
        headers = _with_one_cookie(headers)
        _check(headers, OF_A_REQUEST, &section)
    method, scheme, authority, path, _ = pseudo
    head.method = method
    if not method or not _all(<Bytes>PyBytes_AS_STRING(method), PyBytes_GET_SIZE(method), TOKEN):
        raise Malformed(":method is missing, or no method")
    if section.hosts:
        hosts = [value for name, value in headers if name == b"host"]
        if len(hosts) > 1 or (authority is not None and hosts[0].lower() != authority.lower()):
            raise Malformed("host and :authority differ")
        if authority is None:
            authority = hosts[0]
    if method == b"CONNECT":
        if path is not None or scheme is not None or not authority:
            raise Malformed("CONNECT has an :authority, and neither :scheme nor :path")
        path = authority  # as its target; the router refuses it by name
    elif scheme is None:
        raise Malformed(":scheme is missing")
    elif not _is_path(path) and not (path == b"*" and method == b"OPTIONS"):
        raise Malformed(":path is missing, or no path that begins with /")
    if complete and section.length > 0:
        raise Malformed(f"there is no body, and content-length says {section.length}")
    head.chunked = not complete and section.length < 0
    head.length = section.length
    end = _CHUNKS if head.chunked else b"\r\n"
    head.raw = _request_head(method, path, authority, headers, &section, end)
    return head


cdef tuple _with_one_cookie(tuple headers):
    """Headers with what browsers split for compression in one piece (RFC 9113 section 8.2.3)."""
    cookie = (b"cookie", b"; ".join([value for name, value in headers if name == b"cookie" and value]))
    return (*[header for header in headers if header[0] != b"cookie"], cookie)


cdef bint _is_path(bytes path) except -1:
    if path is None or not path.startswith(b"/"):
        return False
    return _all(<Bytes>PyBytes_AS_STRING(path), PyBytes_GET_SIZE(path), TARGET)


cpdef Head response_from_http2(tuple headers, bytes method, bint complete):
    """The HTTP/1.1 head of a response to a request with this method.

    Raises:
        Malformed: it breaks RFC 9113.
    """
    cdef Section section
    cdef bytes code, end = b"\r\n"
    cdef int status
    cdef Head head = Head.__new__(Head)
    code = _check(headers, OF_A_RESPONSE, &section)[STATUS]
    head.method = method
    if code is None or len(code) != 3 or not code.isdigit() or not b"1" <= code[:1] <= b"5" or code == b"101":
        raise Malformed(":status is missing, or no status of HTTP/2")
    status = _number(<Bytes>PyBytes_AS_STRING(code), 3)
    head.chunked = False
    head.length = section.length
    if status >= 200:
        if method == b"HEAD" or status in (204, 304):
            head.length = -1
        elif section.length < 0:
            head.chunked = not complete
            end = _EMPTY + end if complete else _CHUNKS
        elif complete and section.length:
            raise Malformed(f"there is no body, and content-length says {section.length}")
        # One stream is one exchange: as far as HTTP/1.1 can tell, the connection is not used again.
        end = _CLOSE + end
    head.raw = _response_head(b"HTTP/1.1 ", code, b" \r\n", headers, &section, end)
    return head


cpdef bytes trailers_from_http2(tuple headers):
    """The trailer lines of a chunked body, each with its CRLF.

    Raises:
        Malformed: it breaks RFC 9113.
    """
    cdef Section section
    _check(headers, 0, &section)
    return _response_head(b"", b"", b"", headers, &section, b"")


# To HTTP/2


cdef bytes _lower(Bytes text, Py_ssize_t size):
    cdef bytes lower = PyBytes_FromStringAndSize(NULL, size)
    cdef unsigned char* to = <unsigned char*>PyBytes_AS_STRING(lower)
    cdef Py_ssize_t at
    for at in range(size):
        to[at] = text[at] | 32 if c"A" <= text[at] <= c"Z" else text[at]
    return lower


cdef _add_line(Bytes line, Py_ssize_t size, Outgoing outgoing):
    """Add a line of HTTP/1.1 without its CRLF, which the router has made or checked."""
    cdef Bytes colon = <Bytes>memchr(line, c":", size)
    cdef Py_ssize_t name_size, start, end
    cdef Name kind
    if colon == NULL:
        return
    name_size = start = colon - line
    start += 1
    end = size
    while start < end and line[start] in b" \t":
        start += 1
    while start < end and line[end - 1] in b" \t":
        end -= 1
    kind = name_of(line, name_size)
    if kind == CONTENT_LENGTH:
        outgoing.length = _number(line + start, end - start)
    elif kind == TRANSFER_ENCODING:
        outgoing.length = IN_CHUNKS
        return
    elif kind == HOST_NAME:
        outgoing._host = PyBytes_FromStringAndSize(<const char*>line + start, end - start)
        return
    elif kind in (CONNECTION, UPGRADE, OF_A_HOP):
        return
    outgoing.headers.append((_lower(line, name_size), PyBytes_FromStringAndSize(<const char*>line + start, end - start)))


cdef _add_lines(bytes raw, Py_ssize_t start, Outgoing outgoing):
    """Add the lines of a head from `start` to the empty line."""
    cdef Bytes text = <Bytes>PyBytes_AS_STRING(raw)
    cdef Py_ssize_t end = PyBytes_GET_SIZE(raw) - 2
    cdef Bytes line_end
    while start < end:
        line_end = <Bytes>memchr(text + start, c"\r", end - start)
        if line_end == NULL:
            return
        _add_line(text + start, line_end - text - start, outgoing)
        start = line_end - text + 2


cdef Py_ssize_t _line_end(bytes raw, Py_ssize_t start) noexcept:
    """Where the first line of a head ends, which has an end."""
    cdef Bytes text = <Bytes>PyBytes_AS_STRING(raw)
    return <Bytes>memchr(text + start, c"\r", PyBytes_GET_SIZE(raw) - start) - text


cpdef Outgoing response_to_http2(bytes raw, bytes method):
    """The header section of a response that the router would send over HTTP/1.1.

    Args:
        raw: the head, with its empty line; the router has made or checked it.
        method: of the request.
    """
    cdef Outgoing outgoing = Outgoing.__new__(Outgoing)
    cdef bytes code = part(raw, 9, 12)
    outgoing.status = _number(<Bytes>PyBytes_AS_STRING(code), 3)
    outgoing.method = method
    outgoing.length = UNTIL_CLOSE
    outgoing.headers = [(b":status", code)]
    _add_lines(raw, _line_end(raw, 0) + 2, outgoing)
    if outgoing.status < 200 or outgoing.status in (204, 304) or method == b"HEAD":
        outgoing.length = 0
    return outgoing


cpdef Outgoing request_to_http2(bytes raw, bytes scheme):
    """The header section of a request that the router would send over HTTP/1.1."""
    cdef Outgoing outgoing = Outgoing.__new__(Outgoing)
    cdef Py_ssize_t method_end = raw.index(b" "), path_end = raw.index(b" ", method_end + 1)
    outgoing.method = part(raw, 0, method_end)
    outgoing._host = b""
    outgoing.headers = [
        (b":method", outgoing.method), (b":scheme", scheme), (b":path", part(raw, method_end + 1, path_end)), None
    ]
    _add_lines(raw, _line_end(raw, path_end) + 2, outgoing)
    outgoing.headers[3] = (b":authority", outgoing._host)
    outgoing.headers.append(_TE_TRAILERS)  # all that the router takes for chunked bodies, it takes here
    return outgoing


cpdef list trailers_to_http2(list lines):
    """Trailers without their CRLF as a header section."""
    cdef Outgoing outgoing = Outgoing.__new__(Outgoing)
    cdef bytes line
    outgoing.headers = []
    for line in lines:
        _add_line(<Bytes>PyBytes_AS_STRING(line), PyBytes_GET_SIZE(line), outgoing)
    return outgoing.headers
