cimport cython

@cython.final
cdef class FilteredBody:
    cdef list _filters
    cdef bint _in_chunks
    cdef bint _changes

    cpdef bytes feed(self, bytes content)
    cpdef bytes end(self, trailers)
