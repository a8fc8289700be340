"""The names of headers that matter to a proxy: what frames a message, what belongs to a connection, what is claimed."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE

from smartlb.wire.characters cimport KINDS, ODD

cdef object _NAMES = {
    b"host": HOST_NAME,
    b"content-length": CONTENT_LENGTH,
    b"transfer-encoding": TRANSFER_ENCODING,
    b"expect": EXPECT,
    b"connection": CONNECTION,
    b"upgrade": UPGRADE,
    **dict.fromkeys((b"keep-alive", b"proxy-connection", b"te"), OF_A_HOP),
    # What proxies say of a client and of what it asked for: its id, its address, its URL. Backends and their libraries
    # read the address from any of these. CDNs and clouds set cf-*, cloudfront-*, do-*, fastly-*, fly-*, true-client-ip,
    # x-appengine-*, x-azure-* and x-vercel-*; other proxies x-real-ip, x-envoy-* and the rest; the lists of npm's
    # request-ip and of django-ipware have most. Some frameworks take the URL from x-original-url or x-rewrite-url, as
    # IIS sets them: past every route.
    **dict.fromkeys(
        (
            b"cf-connecting-ip",
            b"cf-connecting-ipv6",
            b"cf-pseudo-ipv4",
            b"client-ip",
            b"cloudfront-viewer-address",
            b"do-connecting-ip",
            b"fastly-client-ip",
            b"fly-client-ip",
            b"forwarded",
            b"forwarded-for",
            b"proxy-client-ip",
            b"true-client-ip",
            b"wl-proxy-client-ip",
            b"x-appengine-user-ip",
            b"x-azure-clientip",
            b"x-azure-socketip",
            b"x-client-ip",
            b"x-cluster-client-ip",
            b"x-envoy-external-address",
            b"x-forwarded",
            b"x-original-forwarded-for",
            b"x-original-host",
            b"x-original-url",
            b"x-real-ip",
            b"x-remote-addr",
            b"x-remote-ip",
            b"x-request-id",
            b"x-rewrite-url",
            b"x-vercel-forwarded-for",
        ),
        CLAIM,
    ),
}
cdef enum:
    _LONGEST_NAME = 25
    _MOST_NAMES = 64

cdef const char* _names[_MOST_NAMES]
cdef Name _kinds[_MOST_NAMES]
cdef int _first[_LONGEST_NAME + 2]
"""Where in `_names` those of each length begin."""

cdef list _ORDER = sorted(_NAMES, key=len)


cdef _fill_tables():
    cdef int at, size
    for at, name in enumerate(_ORDER):
        _names[at] = PyBytes_AS_STRING(name)
        _kinds[at] = _NAMES[name]
    for size in range(_LONGEST_NAME + 2):
        _first[size] = sum([len(name) < size for name in _ORDER])


_fill_tables()


cdef Name name_of(Bytes text, Py_ssize_t size) noexcept nogil:
    """Which of the names a token is."""
    cdef int at
    if size <= _LONGEST_NAME:
        for at in range(_first[size], _first[size + 1]):
            if is_word(text, _names[at], size):
                return _kinds[at]
    if size >= 12 and is_word(text, b"x-forwarded-", 12):
        return CLAIM
    if size >= 14 and is_word(text, b"x-client-cert-", 14):
        return CLAIM
    return ORDINARY


cdef Name name_as_folded(Bytes text, Py_ssize_t size) noexcept nogil:
    """Which of the names some backends read in a token.

    CGI, WSGI and Rack make variables of names, in which ``-`` and ``_`` are the same, and for some servers so is every
    other character that is neither a letter nor a digit.
    """
    cdef unsigned char folded[_LONGEST_NAME]
    cdef Py_ssize_t at
    for at in range(min(size, _LONGEST_NAME)):
        folded[at] = c"-" if KINDS[text[at]] & ODD else text[at]
    return name_of(folded, size)


def is_claim(bytes name not None):
    """Whether some backends read in a name what proxies say of clients: see `HeaderBlock.claims`."""
    return name_as_folded(<Bytes>PyBytes_AS_STRING(name), PyBytes_GET_SIZE(name)) == CLAIM
