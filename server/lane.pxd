# cython: language_level=3
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t


cdef class Lane:
    cdef int k, start, max_history, dim
    cdef bint excludes
    cdef object user, search, depth, run
    cdef dict depths, runs
    cdef bytes head, unused, report_head, tail
    # the country's hash table of ids, its ids and its vectors; `kept` keeps what the pointers point at
    cdef object kept
    cdef const int32_t *begins
    cdef const int32_t *rows
    cdef const uint64_t *products
    cdef const uint64_t *item_ids
    cdef const char *vectors
    cdef Py_ssize_t stride
    cdef int shift, width, items

    cdef _point_at(self, catalog, const float[:, :] vectors)
    cdef int fetch(self, int left_out) except -1
    cdef tuple run_of(self, method, plan)
    cdef int look_up(self, const uint8_t *records, int count, int size, int32_t *rows, int32_t *places) noexcept
    cdef int row_of(self, uint64_t product, int begin) noexcept
    cdef void average(self, const int32_t *rows, int count, float *user) noexcept
