"""Drawing by running sums."""

cdef inline long long first_above(const double *sums, double value, long long low, long long high) noexcept nogil:
    """The first position from `low` whose sum is above `value`; `high` where none before it is. As `bisect_right`."""
    cdef long long middle
    while low < high:
        middle = (low + high) // 2
        if value < sums[middle]:
            high = middle
        else:
            low = middle + 1
    return low
