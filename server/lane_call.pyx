# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""A call that `server.lanes` has read, what was found for it, and its reply: byte for byte as `server.encode` does."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int32_t, int64_t, uint64_t
from libc.stdlib cimport qsort

from server.lane cimport Lane
from server.lane_wire cimport (
    CANDIDATE, ENCODE_US, FETCHED, LONGEST_NUMBER, REPORT, SEARCH_US, UNKNOWN_ITEMS, now_ns, shortlist_prefetch,
    write_bytes, write_candidate, write_number,
)

cdef enum:
    LONGEST_REPORT = 256


cdef class LaneCall:
    """See `lane_call.pxd` for what it holds."""

    cdef bytes written(self):
        """Write a reply; None if there are fewer than k."""
        cdef int64_t replying = now_ns()
        cdef Lane lane = self.lane
        if self.there < lane.k:
            return None
        cdef char[LONGEST_REPORT] report
        cdef Py_ssize_t report_size = self._write_report(report)
        cdef char[LONGEST_NUMBER] unknown
        cdef Py_ssize_t unknown_size = write_number(unknown, UNKNOWN_ITEMS, self.unknown) - unknown
        cdef Py_ssize_t candidates = lane.k * <Py_ssize_t> CANDIDATE
        cdef bytes reply = PyBytes_FromStringAndSize(
            NULL, candidates + len(lane.head) + unknown_size + len(lane.unused) + report_size + len(lane.tail)
        )
        cdef char *at = PyBytes_AS_STRING(reply)
        if not self._write_candidates(at):
            return None
        at = write_bytes(at + candidates, PyBytes_AS_STRING(lane.head), len(lane.head))
        at = write_bytes(at, unknown, unknown_size)
        at = write_bytes(at, PyBytes_AS_STRING(lane.unused), len(lane.unused))
        at = write_bytes(at, report, report_size)
        write_bytes(at, PyBytes_AS_STRING(lane.tail), len(lane.tail))
        self.ended_ns = now_ns()
        self.reply_ns = self.ended_ns - replying
        return reply

    cdef bint _leaves_out(self, int64_t row) noexcept:
        cdef const int32_t *rows = <const int32_t *> PyBytes_AS_STRING(self.left_out)
        cdef Py_ssize_t count = PyBytes_GET_SIZE(self.left_out) // <Py_ssize_t> sizeof(int32_t)
        cdef Py_ssize_t middle, low = 0, high = count
        while low < high:
            middle = (low + high) // 2
            if rows[middle] < row:
                low = middle + 1
            else:
                high = middle
        return low < count and rows[low] == row

    cdef bint _write_candidates(self, char *at) noexcept:
        """Write the best k that are not left out; False if there are fewer."""
        cdef Py_ssize_t place
        cdef int written = 0
        cdef bint leaves_out = PyBytes_GET_SIZE(self.left_out) > 0
        cdef const uint64_t *item_ids = self.lane.item_ids
        for place in range(self.there):
            shortlist_prefetch(&item_ids[self.rows[place]])
        for place in range(self.there):
            if written == self.lane.k:
                break
            if not (leaves_out and self._leaves_out(self.rows[place])):
                at = write_candidate(at, item_ids[self.rows[place]], self.scores[place])
                written += 1
        return written == self.lane.k

    cdef Py_ssize_t _write_report(self, char *at) except -1:
        """Write the source's report with tag and length; how many bytes."""
        cdef bytes head = self.lane.report_head, end = self.report_end
        cdef char[LONGEST_REPORT] content
        if len(head) + len(end) + 4 * LONGEST_NUMBER > LONGEST_REPORT:
            raise ValueError(f"a report of {len(head) + len(end)} bytes is too long")
        cdef char *to = write_bytes(content, PyBytes_AS_STRING(head), len(head))
        to = write_number(to, ENCODE_US, self.encode_us)
        to = write_number(to, SEARCH_US, self.search_us)
        to = write_bytes(to, PyBytes_AS_STRING(end), len(end))
        to = write_number(to, FETCHED, self.fetch)
        return write_bytes(write_number(at, REPORT, to - content), content, to - content) - at


cdef int _ascending(const void *one, const void *other) noexcept nogil:
    cdef int32_t first = (<const int32_t *> one)[0], second = (<const int32_t *> other)[0]
    return (first > second) - (first < second)


cdef bytes distinct(const int32_t *rows, int count):
    """The rows, ascending, each once."""
    cdef bytes found = PyBytes_FromStringAndSize(<const char *> rows, count * sizeof(int32_t))
    cdef int32_t *at = <int32_t *> PyBytes_AS_STRING(found)
    cdef int place, kept = 1
    qsort(at, count, sizeof(int32_t), _ascending)
    for place in range(1, count):
        if at[place] != at[kept - 1]:
            at[kept] = at[place]
            kept += 1
    return found if kept == count else found[: kept * sizeof(int32_t)]
