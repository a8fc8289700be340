"""HTTP/1.1 heads, without I/O: every byte checked once, then forwarded as they came but for a few headers.

What is accepted can be read in one way only: lines that end in CRLF, one space between the parts of the first, names that
are tokens with the colon right behind them, values without controls, one way to say how long the body is. RFC 9110
(semantics) and RFC 9112 (HTTP/1.1) say what is refused here; docs/security.md has where this is stricter than they are.
"""

import re

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport INT64_MAX, uint64_t
from libc.string cimport memchr, memcmp, memcpy

from smartlb.wire.characters cimport FIELD, HEX, HOST, KINDS, ODD, TARGET, TOKEN
from smartlb.wire.names cimport (
    CLAIM,
    CONNECTION,
    CONTENT_LENGTH,
    EXPECT,
    HOST_NAME,
    OF_A_HOP,
    ORDINARY,
    TRANSFER_ENCODING,
    UPGRADE,
    Bytes,
    Name,
    is_word,
    name_as_folded,
    name_of,
)

from smartlb.core.outcome import Outcome

IDEMPOTENT = frozenset((b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE", b"TRACE"))

# Methods that may be forwarded: those of the IANA registry that llhttp knows, whose refusals this module keeps.
cdef dict _METHODS = {
    method: method
    for method in (
        b"ACL BIND CHECKOUT CONNECT COPY DELETE GET HEAD LINK LOCK M-SEARCH MERGE MKACTIVITY MKCALENDAR MKCOL MOVE NOTIFY "
        b"OPTIONS PATCH POST PROPFIND PROPPATCH PURGE PUT QUERY REBIND REPORT SEARCH SOURCE SUBSCRIBE TRACE UNBIND UNLINK "
        b"UNLOCK UNSUBSCRIBE"
    ).split()
}
cdef frozenset _OF_OTHER_PROTOCOLS = frozenset(
    b"ANNOUNCE DESCRIBE FLUSH PAUSE PLAY PRI RECORD REDIRECT SETUP TEARDOWN".split()
)
"""Of RTSP, and of the preface of HTTP/2."""

# An http URI without a host is invalid (RFC 9110 section 4.2.1).
_ABSOLUTE_FORM = re.compile(rb"(?i:https?)://([^/?:][^/?]*)((?:[/?].*)?)")

# RFC 9110 section 7.8: a name, and a version where there is one.
_PROTOCOL = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+(?:/[!#$%&'*+.^_`|~0-9A-Za-z-]+)?")

# What a Connection header cannot take away: its own options, and what frames or routes the message.
cdef frozenset _NOT_NOMINATED = frozenset(
    (b"", b"close", b"keep-alive", b"host", b"content-length", b"transfer-encoding", b"content-type", b"via")
)
cdef frozenset _FRAMING = frozenset((b"content-length", b"transfer-encoding"))

cdef enum:
    _MOST_DIGITS = 19  # of a Content-Length: those of 2^63


class RequestRefused(Exception):
    """A request that gets an answer from the router itself, and never reaches a backend.

    Attributes:
        outcome: the cause.
        reason: what was wrong, for the person who reads the answer.
    """

    def __init__(self, outcome, reason):
        super().__init__(reason)
        self.outcome = outcome
        self.reason = reason


class MalformedResponse(Exception):
    """A backend's response that breaks the protocol; the message says how."""


class SwitchedProtocols(MalformedResponse):
    """A 101, which is malformed unless the request asked for it."""


cdef _bad(str reason):
    return RequestRefused(Outcome.BAD_REQUEST, reason)


# Lines.

cdef struct Field:
    Py_ssize_t name  # its first byte
    Py_ssize_t name_end
    Py_ssize_t value  # its first byte after blanks
    Py_ssize_t value_end  # behind its last byte before blanks
    Py_ssize_t end  # of the line, at its CRLF; where the line is malformed, at the byte that is wrong
    bint odd  # the name has characters other than letters, digits and dashes


cdef inline bint _has_control(uint64_t word) noexcept nogil:
    """Whether one of eight bytes is below 0x20 or 0x7f (hasless and haszero of Anderson's Bit Twiddling Hacks)."""
    cdef uint64_t ones = 0x0101010101010101
    cdef uint64_t del_is_0 = word ^ (ones * 0x7F)
    return (((word - ones * 0x20) & ~word) | ((del_is_0 - ones) & ~del_is_0)) & (ones * 0x80) != 0


cdef inline bint _read_field(Bytes text, Py_ssize_t at, Py_ssize_t end, Field* field) noexcept nogil:
    """Read one line of a header section that ends at `end`, and say whether it is one."""
    cdef uint64_t word
    cdef unsigned char kind
    cdef unsigned char seen = 0
    field.name = at
    kind = KINDS[text[at]]
    while kind & TOKEN:
        seen |= kind
        at += 1
        kind = KINDS[text[at]]
    field.name_end = field.end = at
    field.odd = seen & ODD
    if text[at] != c":" or at == field.name:
        return False
    at += 1
    while text[at] == c" " or text[at] == c"\t":
        at += 1
    field.value = at
    while at + 8 <= end:
        memcpy(&word, text + at, 8)
        if _has_control(word):
            break
        at += 8
    while KINDS[text[at]] & FIELD:
        at += 1
    field.end = at
    if text[at] != c"\r" or text[at + 1] != c"\n":
        return False
    while at > field.value and (text[at - 1] == c" " or text[at - 1] == c"\t"):
        at -= 1
    field.value_end = at
    return True


cdef str _complaint(bytes data, Field* field):
    """What is wrong with a line that `_read_field` has not read."""
    text = data[field.name : data.find(b"\r\n", field.end)]
    number = data.count(b"\n", 0, field.name)
    character = data[field.end]
    if field.name_end < field.end:
        wrong = f"its value has 0x{character:02x}" if character != 13 else "it ends in CR without LF"
    elif field.name == field.end and character in b" \t":
        wrong = "it begins with a blank; lines must not be folded"
    elif field.name == field.end and character == 58:
        wrong = "it has no name"
    elif character in b"\r\n":
        wrong = "it has no colon"
    else:
        wrong = f"0x{character:02x} is in its name, or between name and colon"
    return f"header line {number} is not NAME: VALUE: {wrong}: {ascii(text[:40])[1:]}"


cdef inline bytes _part(Bytes text, Py_ssize_t start, Py_ssize_t end):
    return PyBytes_FromStringAndSize(<const char*>text + start, end - start)


cdef inline bytes _value(Bytes text, Field* field):
    return PyBytes_FromStringAndSize(<const char*>text + field.value, field.value_end - field.value)


cdef inline bint _value_is(Bytes text, Field* field, const char* lower, Py_ssize_t size) noexcept nogil:
    return field.value_end - field.value == size and is_word(text + field.value, lower, size)


cdef inline bytes _joined(bytes before, Bytes text, Field* field):
    """The value of a header that is a list, which may take several lines."""
    return _value(text, field) if before is None else before + b"," + _value(text, field)


cdef long long _content_length(Bytes text, Field* field) noexcept nogil:
    """The number; -1 where there is none, -2 where it is too large."""
    cdef Py_ssize_t at
    cdef uint64_t number = 0
    if field.value == field.value_end:
        return -1
    for at in range(field.value, field.value_end):
        if not c"0" <= text[at] <= c"9":
            return -1
    if field.value_end - field.value > _MOST_DIGITS:
        return -2
    for at in range(field.value, field.value_end):
        number = number * 10 + text[at] - c"0"
    return <long long>number if number <= <uint64_t>INT64_MAX else -2


cdef str _bad_length(long long found):
    return "the Content-Length is not a number" if found == -1 else "the Content-Length is 2^63 or has more than 19 digits"


cdef bint _is_host(Bytes text, Py_ssize_t at, Py_ssize_t end) noexcept nogil:
    """Whether this is HOST or HOST:PORT."""
    if text[at] == c"[":
        at += 1
        if text[at] == c"]":
            return False
        while KINDS[text[at]] & HEX or text[at] == c":" or text[at] == c".":
            at += 1
        if text[at] != c"]":
            return False
        at += 1
    else:
        while KINDS[text[at]] & HOST:
            at += 1
    if at < end and text[at] == c":":
        at += 1
        while c"0" <= text[at] <= c"9":
            at += 1
    return at == end


cpdef Py_ssize_t find_head_end(bytes data, Py_ssize_t start) noexcept:
    """Where a head ends that begins at `start`: behind its empty line; -1 where that has not come."""
    cdef const char* text = PyBytes_AS_STRING(data)
    cdef const char* end = text + PyBytes_GET_SIZE(data) - 3
    cdef const char* at = text + start
    while at < end:
        at = <const char*>memchr(at, c"\r", end - at)
        if at == NULL:
            return -1
        if at[1] == c"\n" and at[2] == c"\r" and at[3] == c"\n":
            return at + 4 - text
        at += 1
    return -1


# Requests.

# Bytes and numbers make no circles, so the garbage collector need not know of them.

@cython.final
@cython.no_gc
cdef class HeaderBlock:
    """The header section of a request, as the router needs it.

    Attributes:
        headers: as they came, from the request line's CRLF to the empty line.
        raw: the same, or empty where the block holds for one target only.
        kept: the lines to forward, each after a CRLF: without hop-by-hop headers and claims.
        host: of the Host header or the absolute target, lower case, with its port; empty where there was none.
        http10: whether the client speaks HTTP/1.0.
        keep_alive: whether the client wants its connection to stay open.
        length: of the body in bytes, or `CHUNKED`.
        claims: what the client, or a proxy before it, says of the client: its address, its id, its certificate, the URL
            that it asked for; by lower-case name, repeated headers joined by a comma.
        outgoing: what `Peer.complete` makes of `kept`: all but the request's id.
        request_id: the client's own, where it is trusted.
        client: the client's address, once `Peer.client` has found it.
        upgrade: the one protocol that the client would rather speak, as it spelled it; empty where it wishes for none,
            for several, or may not: in HTTP/1.0 and beside a body.
        expects: whether the client may wait for a 100 before it sends the body.
    """


@cython.final
@cython.no_gc
@cython.freelist(64)
cdef class Request:
    """A request's head. It never changes.

    Attributes:
        method: one that is known.
        target: in origin-form, or ``*``.
        block: the headers; requests of one connection that have the same share it.
    """


cpdef Request read_request(bytes data, Py_ssize_t end, Request last, Py_ssize_t most_headers=1 << 30):
    """Check and read a request's head.

    Args:
        data: what a client has sent, from the request line's first byte on.
        end: of the head in `data`, behind the empty line.
        last: the request before on the same connection, or None. Clients mostly repeat their headers from request to
            request; a block that is the same to the byte is not read again.
        most_headers: how many headers there may be.

    Raises:
        RequestRefused: with the cause and what was wrong.
    """
    cdef Bytes text = <Bytes>PyBytes_AS_STRING(data)
    cdef Py_ssize_t at = 0, size, target_at, block_at
    cdef bytes method = None, target
    cdef HeaderBlock block
    cdef bint http10
    if end < 4 or end > PyBytes_GET_SIZE(data) or memcmp(text + end - 4, b"\r\n\r\n", 4) != 0:
        raise _bad("the head does not end in an empty line")
    if last is not None:
        size = PyBytes_GET_SIZE(last.method)
        if size < end and text[size] == c" " and memcmp(text, PyBytes_AS_STRING(last.method), size) == 0:
            method = last.method
            at = size
    if method is None:
        while c"A" <= text[at] <= c"Z" or text[at] == c"-":
            at += 1
        if at == 0 or text[at] != c" ":
            raise _bad("the request line is not METHOD TARGET HTTP/1.1")
        method = _part(text, 0, at)
    target_at = at = at + 1
    while KINDS[text[at]] & TARGET:
        at += 1
    if (
        at == target_at
        or end - at < 13
        or memcmp(text + at, b" HTTP/1.", 8) != 0
        or not (text[at + 8] == c"1" or text[at + 8] == c"0")
        or text[at + 9] != c"\r"
        or text[at + 10] != c"\n"
    ):
        raise _bad("the request line is not METHOD TARGET HTTP/1.1")
    http10 = text[at + 8] == c"0"
    block_at = at + 9
    target = _part(text, target_at, at)
    if last is not None and method is last.method and text[target_at] == c"/" and last.block.http10 == http10:
        size = PyBytes_GET_SIZE(last.block.raw)
        if size == end - block_at and memcmp(text + block_at, PyBytes_AS_STRING(last.block.raw), size) == 0:
            return _request(method, target, last.block)
    known = _METHODS.get(method)
    if known is None:
        if method in _OF_OTHER_PROTOCOLS:
            raise _bad("the method is of another protocol")
        raise RequestRefused(Outcome.METHOD_REFUSED, "the method is not known")
    block = _read_block(data, block_at, end, http10, most_headers, known == b"CONNECT")
    if text[target_at] != c"/":
        target = _origin_form(known, target, block)
    return _request(known, target, block)


cdef inline Request _request(bytes method, bytes target, HeaderBlock block):
    cdef Request request = Request.__new__(Request)
    request.method = method
    request.target = target
    request.block = block
    return request


cdef HeaderBlock _read_block(
    bytes data, Py_ssize_t start, Py_ssize_t end, bint http10, Py_ssize_t most_headers, bint connects
):
    cdef Bytes text = <Bytes>PyBytes_AS_STRING(data)
    cdef HeaderBlock block = HeaderBlock.__new__(HeaderBlock)
    cdef Field field
    cdef Name name
    cdef Py_ssize_t line = start  # at the CRLF before it
    cdef Py_ssize_t kept_from = start
    cdef Py_ssize_t count = 0
    cdef long long length = 0
    cdef bint framed = False
    cdef bint expects = False
    cdef list kept = None
    cdef bytes host = None, connection = None, upgrade = None, respelled, whole
    cdef dict claims = {}
    while text[line + 2] != c"\r":
        if not _read_field(text, line + 2, end, &field):
            raise _bad(_complaint(data, &field))
        count += 1
        if count > most_headers:
            raise RequestRefused(Outcome.HEADER_TOO_LARGE, f"there are more than {most_headers} headers")
        respelled = b""
        if field.odd:
            name = ORDINARY if name_as_folded(text + field.name, field.name_end - field.name) == ORDINARY else OF_A_HOP
        else:
            name = name_of(text + field.name, field.name_end - field.name)
        if name == ORDINARY:
            line = field.end
            continue
        if name == HOST_NAME:
            if host is not None:
                raise _bad("there is more than one Host header")
            if not _is_host(text, field.value, field.value_end):
                raise _bad("the Host header is not HOST or HOST:PORT")
            host = _value(text, &field)
            line = field.end
            continue
        if name == CONTENT_LENGTH or name == TRANSFER_ENCODING:
            if framed:
                raise _bad("the body's length is given more than once, by Content-Length or Transfer-Encoding")
            framed = True
            if name == CONTENT_LENGTH:
                length = _content_length(text, &field)
                if length < 0:
                    raise _bad(_bad_length(length))
                # Some backends take a tab for a part of the value.
                if field.value_end != field.end or field.value - field.name_end != 2 or text[field.value - 1] != c" ":
                    respelled = b"\r\nContent-Length: " + _value(text, &field)
            else:
                if not _value_is(text, &field, b"chunked", 7) or http10 or _has_tab(text, field.value_end, field.end):
                    raise _bad("the only transfer coding accepted is chunked, in HTTP/1.1")
                length = CHUNKED
                if field.end - field.name_end != 9 or memcmp(text + field.name_end, b": chunked", 9) != 0:
                    respelled = b"\r\nTransfer-Encoding: chunked"
            if not respelled:
                line = field.end
                continue
        elif name == EXPECT:
            if not http10:
                if not _value_is(text, &field, b"100-continue", 12):
                    raise _bad("the only expectation known is 100-continue")
                expects = True
                line = field.end
                continue
        elif name == CONNECTION:
            connection = _joined(connection, text, &field)
        elif name == UPGRADE:
            upgrade = _joined(upgrade, text, &field)
        elif name == CLAIM:
            spelled = _part(text, field.name, field.name_end).lower()
            claimed = _value(text, &field)
            claims[spelled] = claims[spelled] + b", " + claimed if spelled in claims else claimed
        # The line is left out, or something else takes its place.
        if kept is None:
            kept = []
        kept.append(_part(text, kept_from, line))
        if respelled:
            kept.append(respelled)
        kept_from = line = field.end
    if line + 4 != end:
        raise _bad("a line is empty, or begins with CR")
    if connects:
        raise RequestRefused(Outcome.METHOD_REFUSED, "CONNECT is for forward proxies; this is a gateway")
    if host is None:
        if not http10:
            raise _bad("the Host header is missing")
        host = b""
    whole = _part(text, kept_from, line)
    if kept is not None:
        kept.append(whole)
        whole = b"".join(kept)
    block.keep_alive = not http10
    if connection is not None:
        whole, block.keep_alive = _connection(whole, connection, block.keep_alive)
    block.upgrade = b""
    if upgrade and not http10 and not length and _PROTOCOL.fullmatch(upgrade) and nominates_upgrade(connection):
        block.upgrade = upgrade
    block.headers = block.raw = _part(text, start, end)
    block.kept = whole
    block.host = host.lower()
    block.http10 = http10
    block.length = length
    block.claims = claims
    block.outgoing = b""
    block.expects = expects
    return block


cdef bint _has_tab(Bytes text, Py_ssize_t at, Py_ssize_t end) noexcept nogil:
    return memchr(text + at, c"\t", end - at) != NULL


cdef bytes _origin_form(bytes method, bytes target, HeaderBlock block):
    """The path of an absolute target, whose authority replaces the Host header (RFC 9112 section 3.2.2)."""
    if target == b"*" and method == b"OPTIONS":
        return target
    absolute = _ABSOLUTE_FORM.fullmatch(target)
    if absolute is None:
        raise _bad("the target is not a path that begins with /")
    authority, path = absolute.groups()
    if not _is_host(<Bytes>PyBytes_AS_STRING(authority), 0, len(authority)):
        raise _bad("the target's authority is not HOST or HOST:PORT")
    block.host = authority.lower()
    block.kept = b"\r\nhost: " + authority + without_header(block.kept, b"host")
    block.raw = b""  # made for this target: not to be taken for the next request's
    if not path and method == b"OPTIONS":
        return b"*"  # RFC 9112 section 3.2.4
    return path if path[:1] == b"/" else b"/" + path


cdef tuple _connection(bytes head, bytes value, bint keep_alive):
    """Apply a Connection header: the headers it takes away, and whether the connection stays open."""
    cdef Py_ssize_t size = PyBytes_GET_SIZE(value)
    cdef Bytes text = <Bytes>PyBytes_AS_STRING(value)
    if size == 10 and is_word(text, b"keep-alive", 10):
        return head, True
    if size == 5 and is_word(text, b"close", 5):
        return head, False
    options = {option.strip(b" \t") for option in value.lower().split(b",")}
    nominated = options - _NOT_NOMINATED
    if nominated:
        head = without_headers(head, nominated)
    # RFC 9112 section 9.3: close wins.
    return head, b"close" not in options and (keep_alive or b"keep-alive" in options)


def nominates_upgrade(connection):
    """Whether a Connection header, or None, has Upgrade, which is void without it (RFC 9110 section 7.8)."""
    if connection is None:
        return False
    return b"upgrade" in [option.strip(b" \t") for option in connection.lower().split(b",")]


cpdef bytes without_header(bytes head, bytes name):
    """A head without the lines of one header; `name` is lower case."""
    return without_headers(head, {name})


cpdef bytes without_headers(bytes head, object names):
    """A head without the lines of some headers; `names` are lower case."""
    start, *lines = head.split(b"\r\n")
    return b"\r\n".join([start, *[line for line in lines if line.partition(b":")[0].lower() not in names]])


cdef class _Values:
    """Finds a header's lines in a block that has been read."""

    cdef bytes _name
    cdef bint _all

    def __init__(self, str name, bint all_lines):
        self._name = name.lower().encode()
        self._all = all_lines

    def __call__(self, HeaderBlock block not None):
        cdef Bytes text = <Bytes>PyBytes_AS_STRING(block.headers)
        cdef const char* name = PyBytes_AS_STRING(self._name)
        cdef Py_ssize_t size = PyBytes_GET_SIZE(self._name)
        cdef Py_ssize_t end = PyBytes_GET_SIZE(block.headers) - 2
        cdef Py_ssize_t at = 2
        cdef Field field
        cdef bytes found = None
        while at < end:
            if end - at > size and text[at + size] == c":" and is_word(text + at, name, size):
                _read_field(text, at, end, &field)
                if not self._all:
                    return _value(text, &field)
                found = _joined(found, text, &field)
            at = <Bytes>memchr(text + at, c"\n", end - at) + 1 - text
        return b"" if found is None else found


def header_value(name):
    """A function that finds the value of one header, the first where there are several; empty where there is none."""
    return _Values(name, False)


def header_list(name):
    """A function that finds the value of a header that is a list, joined where it takes several lines."""
    return _Values(name, True)


# Responses.

@cython.final
@cython.no_gc
cdef class Response:
    """A response's head. It never changes.

    Attributes:
        head: to forward, as HTTP/1.1: without hop-by-hop headers and the final empty line.
        status: from 100 to 599.
        length: of the body in bytes, `CHUNKED` or `UNTIL_CLOSE`.
        keep_alive: whether the backend's connection can serve another request.
        connection: the Connection header, empty where there is none.
        upgrade: the protocols that the backend offers or switches to.
    """


# Most heads differ from the ones before in their date and length only, if at all: within a second a backend repeats
# itself often. A head's hash says where it would be; another one with the same place puts it out.
cdef enum:
    _LONGEST_REMEMBERED = 1_024
    _REMEMBERED_BITS = 9

cdef list _remembered = [None] * (1 << _REMEMBERED_BITS)


cdef inline Py_ssize_t _place(Bytes text, Py_ssize_t size) noexcept nogil:
    """Eight bytes at a time, the last eight again; multiplied as Fibonacci hashing does (Knuth, volume 3, section 6.4)."""
    cdef uint64_t word, mixed = size
    cdef Py_ssize_t at = 0
    while at + 8 < size:
        memcpy(&word, text + at, 8)
        mixed = (mixed ^ word) * <uint64_t>0x9E3779B97F4A7C15
        mixed ^= mixed >> 32
        at += 8
    memcpy(&word, text + size - 8, 8)
    mixed ^= word
    return <Py_ssize_t>((mixed * <uint64_t>0x9E3779B97F4A7C15) >> (64 - _REMEMBERED_BITS))


cpdef Response read_response(bytes data, Py_ssize_t end, bytes method):
    """Check and read a response's head.

    Args:
        data: what a backend has sent, from the status line's first byte on.
        end: of the head in `data`, behind the empty line.
        method: of the request; a HEAD's response has no body.

    Raises:
        SwitchedProtocols: it is a 101.
        MalformedResponse: with what was wrong.
    """
    cdef Bytes text = <Bytes>PyBytes_AS_STRING(data)
    cdef bint to_head = method == b"HEAD"
    cdef Py_ssize_t place
    cdef Response response
    _check_bounds(data, end)
    if end > _LONGEST_REMEMBERED:
        return _read_response(data, end, to_head, False)
    place = _place(text, end) ^ to_head
    found = _remembered[place]
    if found is not None:
        response = <Response>found
        if (
            PyBytes_GET_SIZE(response._raw) == end
            and response._to_head == to_head
            and memcmp(PyBytes_AS_STRING(response._raw), text, end) == 0
        ):
            return response
    response = _read_response(data, end, to_head, False)
    response._raw = data if end == PyBytes_GET_SIZE(data) else _part(text, 0, end)
    response._to_head = to_head
    _remembered[place] = response
    return response


cpdef Response read_switch(bytes data, Py_ssize_t end):
    """Check and read the head of a 101 (RFC 9110 section 7.8) that the request has asked for.

    Raises:
        MalformedResponse: with what was wrong.
    """
    _check_bounds(data, end)
    return _read_response(data, end, False, True)


cdef inline int _check_bounds(bytes data, Py_ssize_t end) except -1:
    # The shortest status line and the empty line have 16 bytes.
    if end < 16 or end > PyBytes_GET_SIZE(data) or memcmp(PyBytes_AS_STRING(data) + end - 4, b"\r\n\r\n", 4) != 0:
        raise MalformedResponse("the head does not begin with HTTP/1.1 STATUS REASON, or does not end in an empty line")
    return 0


cdef Response _read_response(bytes data, Py_ssize_t end, bint to_head, bint switches):
    cdef Bytes text = <Bytes>PyBytes_AS_STRING(data)
    cdef Response response = Response.__new__(Response)
    cdef Field field
    cdef Name name
    cdef Py_ssize_t line = 12  # at the CRLF before it
    cdef Py_ssize_t kept_from = 0
    cdef long long length = UNTIL_CLOSE
    cdef list kept = None
    cdef bytes connection = None, upgrade = None, head
    cdef bint http10, keep_alive
    cdef int status
    if text[12] == c" ":
        line = 13
        while KINDS[text[line]] & FIELD:
            line += 1
    if (
        memcmp(text, b"HTTP/1.", 7) != 0
        or not (text[7] == c"1" or text[7] == c"0")
        or text[8] != c" "
        or not c"1" <= text[9] <= c"5"
        or not c"0" <= text[10] <= c"9"
        or not c"0" <= text[11] <= c"9"
        or text[line] != c"\r"
        or text[line + 1] != c"\n"
    ):
        raise MalformedResponse("the status line is not HTTP/1.1 STATUS REASON")
    http10 = text[7] == c"0"
    status = (text[9] - c"0") * 100 + (text[10] - c"0") * 10 + text[11] - c"0"
    if (status == 101) != switches:
        raise SwitchedProtocols("the backend switched protocols unasked") if status == 101 else MalformedResponse(
            f"the status is {status}, not 101"
        )
    if http10:
        kept = [b"HTTP/1.1"]
        kept_from = 8
    while text[line + 2] != c"\r":
        if not _read_field(text, line + 2, end, &field):
            raise MalformedResponse(_complaint(data, &field))
        name = name_of(text + field.name, field.name_end - field.name)
        if name == CONTENT_LENGTH or name == TRANSFER_ENCODING:
            if length != UNTIL_CLOSE:
                raise MalformedResponse("the body's length is given more than once, by Content-Length or Transfer-Encoding")
            if name == CONTENT_LENGTH:
                length = _content_length(text, &field)
                if length < 0:
                    raise MalformedResponse(_bad_length(length))
            else:
                if not _value_is(text, &field, b"chunked", 7) or http10:
                    raise MalformedResponse("the only transfer coding accepted is chunked, in HTTP/1.1")
                length = CHUNKED
        elif name == CONNECTION or name == UPGRADE or name == OF_A_HOP:
            if name == CONNECTION:
                connection = _joined(connection, text, &field)
            elif name == UPGRADE:
                upgrade = _joined(upgrade, text, &field)
            if kept is None:
                kept = []
            kept.append(_part(text, kept_from, line))
            kept_from = field.end
        line = field.end
    if line + 4 != end:
        raise MalformedResponse("a line of its head is empty, or begins with CR")
    head = _part(text, kept_from, end - 2)
    if kept is not None:
        kept.append(head)
        head = b"".join(kept)
    keep_alive = not http10
    if connection is not None:
        head, keep_alive = _connection(head, connection, keep_alive)
    if status < 200 or status == 204 or status == 304 or to_head:
        if length != UNTIL_CLOSE and (status < 200 or status == 204):
            # RFC 9112 section 6.3: there is no body, whatever the head says; a backend may send one all the same.
            head = without_headers(head, _FRAMING)
            keep_alive = keep_alive and length == 0
        length = 0
    if status == 426 and upgrade:
        # RFC 9110 section 15.5.22: it must say what to upgrade to.
        head += b"upgrade: %s\r\nconnection: upgrade\r\n" % upgrade
    response.head = head
    response.status = status
    response.length = length
    response.keep_alive = keep_alive and length != UNTIL_CLOSE
    response.connection = b"" if connection is None else connection
    response.upgrade = b"" if upgrade is None else upgrade
    return response
