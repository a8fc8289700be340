cpdef bint failed(int outcome, int status) noexcept
