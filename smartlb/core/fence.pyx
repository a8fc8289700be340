"""Order between stores and loads of memory that processes share without locks.

A writer stores what it has to say, then a number by which readers see that it is there. On x86 both become visible in
that order by themselves (total store order); other processors, ARM's among them, may show the number first. A writer
therefore calls `publish` in between, and a reader `observe` between its loads. On x86 neither is an instruction: they
only keep the compiler from moving loads and stores across.

After C11's `atomic_thread_fence` (ISO/IEC 9899:2011, 7.17.4), and for sequence locks H.-J. Boehm, "Can seqlocks get
along with programming language memory models?", MSPC 2012, https://www.hpl.hp.com/techreports/2012/HPL-2012-68.pdf.
"""

cdef extern from *:
    """
    #define smartlb_release() __atomic_thread_fence(__ATOMIC_RELEASE)
    #define smartlb_acquire() __atomic_thread_fence(__ATOMIC_ACQUIRE)
    """
    void smartlb_release() noexcept nogil
    void smartlb_acquire() noexcept nogil


cpdef void publish() noexcept nogil:
    """Keep the stores before this call ahead of those after it, for whoever calls `observe` between its loads."""
    smartlb_release()


cpdef void observe() noexcept nogil:
    """Have the loads after this call see all that was stored before what a load ahead of it has seen."""
    smartlb_acquire()
