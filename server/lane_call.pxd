# cython: language_level=3
from libc.stdint cimport int32_t, int64_t

from server.lane cimport Lane


cdef class LaneCall:
    # user: what the lane made of it, None where that is a mean. left_out: int32 rows, ascending, each once.
    # found: what the source found, for a group at `place`; rows, scores: `there` of them, best first, in its memory.
    # kind, report_end: of the source's run. Times in nanoseconds where they do not say otherwise.
    cdef object call, user, found
    cdef Lane lane
    cdef int64_t started_ns, decode_ns, encode_ns, reply_ns, ended_ns
    cdef int history, unknown, fetch, encode_us, search_us, place, kind
    cdef bytes left_out, report_end
    cdef const int64_t *rows
    cdef const float *scores
    cdef Py_ssize_t there

    cdef bytes written(self)
    cdef bint _leaves_out(self, int64_t row) noexcept
    cdef bint _write_candidates(self, char *at) noexcept
    cdef Py_ssize_t _write_report(self, char *at) except -1


cdef bytes distinct(const int32_t *rows, int count)
