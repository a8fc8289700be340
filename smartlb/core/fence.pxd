cpdef void publish() noexcept nogil
cpdef void observe() noexcept nogil
