cimport cython

ctypedef const unsigned char *Text  # read and sliced without Python's objects


@cython.locals(text=Text, at=Py_ssize_t, byte=cython.uchar, last=cython.uchar)
cpdef bytes canonical_path(bytes target)
cdef bytes _resolved(bytes target)
