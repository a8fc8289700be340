ctypedef const unsigned char* Bytes


cdef enum Name:
    ORDINARY
    HOST_NAME
    CONTENT_LENGTH
    TRANSFER_ENCODING
    EXPECT
    CONNECTION
    UPGRADE
    OF_A_HOP
    CLAIM


cdef inline bint is_word(Bytes text, const char* lower, Py_ssize_t size) noexcept nogil:
    """Whether a token or a value is this one in any case; `lower` has small letters, digits and dashes."""
    cdef Py_ssize_t at
    for at in range(size):
        if (text[at] | 32) != <unsigned char>lower[at]:
            return False
    return True


cdef Name name_of(Bytes text, Py_ssize_t size) noexcept nogil
cdef Name name_as_folded(Bytes text, Py_ssize_t size) noexcept nogil
