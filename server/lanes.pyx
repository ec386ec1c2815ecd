# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Answers the usual `Retrieve` in compiled code: read, look up, average, search, write. `server.usual` says what is.

    bytes → records → lane of the rest → rows → mean of vectors ─┬→ group's search → [leave out] → bytes → sent
                 └─────────── anything unusual: given back ──────┘

A search empties the caches, and the same steps in Python then cost as much as half a search: each call of a function
fetches its code anew. Here they are a few kilobytes. What they give is what the readable way through `server.decode`,
`server.retrieval` and `server.encode` gives, byte for byte but for durations: tests/server/test_lane.py.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libc.stdlib cimport qsort

import numpy as np

from server.errors import translate
from server.observe import look

from server.lane cimport Lane
from server.lane_wire cimport (
    CANDIDATE, ENCODE_US, FETCHED, LONGEST_NUMBER, REPORT, SEARCH_US, UNKNOWN_ITEMS, count_records, now_ns,
    shortlist_prefetch, write_bytes, write_candidate, write_number,
)

cdef enum:
    LONGEST_REST = 128  # bytes of a request without its history
    LONGEST_REPORT = 256
    # beyond this many a larger group saves little, and its first call would wait for its last
    GROUP_AT_MOST = 16
    MOST_LANES = 1024


cdef class _Taken:
    """A call whose user vector is computed. left_out: int32 rows, ascending, each once. Times in nanoseconds."""

    cdef object call
    cdef Lane lane
    cdef int64_t started_ns, decode_ns, encode_ns, reply_ns, ended_ns
    cdef int history, unknown, fetch, encode_us, search_us, place
    cdef bytes left_out
    cdef object found

    cdef bint leaves_out(self, int64_t row) noexcept:
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


cdef class _Group:
    """Calls of one lane, and their users (16, D)."""

    cdef Lane lane
    cdef list calls
    cdef object users

    def __cinit__(self, Lane lane):
        self.lane, self.calls = lane, []
        self.users = np.empty((GROUP_AT_MOST, lane.dim), dtype=np.float32)


cdef class Lanes:
    """Answers the usual calls and gives the others back. Lives on one thread.

    find: the lane of a request whose history is cut out, None if it is not usual; asked once for each. longest_history:
    interactions that a request may have. method: in `METHODS`. describe: tells of a call that was answered, for
    watchers.
    """

    cdef object find, metrics, observer, describe
    cdef int method, longest_history
    cdef dict lanes, groups
    cdef list done
    cdef object kept
    cdef int32_t *rows

    def __init__(self, find, int longest_history, int method, observer, describe):
        cdef int32_t[::1] rows = np.empty(longest_history + 1, dtype=np.int32)
        self.find, self.longest_history, self.method = find, longest_history, method
        self.observer, self.metrics, self.describe = observer, observer.metrics, describe
        self.lanes, self.groups, self.done = {}, {}, []
        self.kept, self.rows = rows, &rows[0]

    def answer(self, calls):
        """Answer the usual ones, at most 16 of a lane by one search; give back those that are not, or that fail."""
        cdef list others = []
        cdef _Group group
        for call in calls:
            try:
                group = self._take(call)
            except Exception as error:  # a bug; the readable way may not have it
                translate(error)
                group = None
            if group is None:
                others.append(call)
            elif len(group.calls) == GROUP_AT_MOST:
                del self.groups[group.lane]
                self._finish(group, others)
        groups, self.groups = self.groups, {}
        for group in groups.values():
            self._finish(group, others)
        return others

    def settle(self):
        """Count what was answered, and have watchers look at it: when the replies are on their way."""
        cdef _Taken each
        done, self.done = self.done, []
        for each in done:
            self.metrics.usual(
                self.method, each.started_ns - <int64_t> each.call.taken_ns, each.lane.kind, each.encode_us,
                each.search_us, each.lane.start, each.lane.k, each.history, each.unknown, each.decode_ns,
                each.reply_ns, each.ended_ns - each.started_ns,
            )
            for watcher in self.observer.watchers:
                if watcher.wants(each.call, each.ended_ns - each.started_ns, each.ended_ns):
                    look(watcher, self._observed(each))

    cdef _observed(self, _Taken each):
        return self.describe(
            each.lane, each.call, each.found, each.place, np.frombuffer(each.left_out, dtype=np.int32),
            (each.fetch, each.unknown, each.encode_us, each.search_us),
            (each.started_ns, each.decode_ns, each.reply_ns, each.ended_ns),
        )

    cdef _Group _take(self, call):
        """Read a call and compute its user; the group that has it now. None, and nothing done, if it is not usual."""
        cdef int64_t decoded, started = now_ns()
        cdef bytes raw = call.raw
        cdef const uint8_t *at = <const uint8_t *> PyBytes_AS_STRING(raw)
        cdef Py_ssize_t begin = 0
        cdef int record = 0
        cdef int count = count_records(at, PyBytes_GET_SIZE(raw), self.longest_history, &begin, &record)
        if not count or <uint64_t> started >= <uint64_t> call.deadline_ns:
            return None
        cdef Lane lane = self._lane(raw, begin, begin + count * record)
        cdef int known = lane.look_up(at + begin, count, record, self.rows) if lane is not None else 0
        if not known:
            return None
        cdef bytes left_out = _distinct(self.rows, known) if lane.excludes else b""
        cdef int fetch = lane.fetch(PyBytes_GET_SIZE(left_out) // sizeof(int32_t))
        if not fetch:
            return None
        decoded = now_ns()
        cdef _Group group = self.groups.get(lane)
        if group is None:
            group = self.groups[lane] = _Group(lane)
        cdef float[:, ::1] users = group.users
        lane.average(self.rows, known, &users[len(group.calls), 0])
        cdef _Taken taken = _Taken.__new__(_Taken)
        taken.call, taken.lane, taken.left_out, taken.fetch = call, lane, left_out, fetch
        taken.history, taken.unknown, taken.started_ns = count, count - known, started
        taken.decode_ns, taken.encode_ns = decoded - started, now_ns() - decoded
        group.calls.append(taken)
        return group

    cdef Lane _lane(self, bytes raw, Py_ssize_t start, Py_ssize_t end):
        """The lane of a request whose records stand between `start` and `end`; None if it is not usual."""
        if PyBytes_GET_SIZE(raw) - (end - start) > LONGEST_REST:
            return None
        rest = raw[:start] + raw[end:]
        try:
            return self.lanes[rest]
        except KeyError:
            if len(self.lanes) >= MOST_LANES:
                self.lanes.clear()
            lane = self.lanes[rest] = self.find(rest)
            return lane

    cdef _finish(self, _Group group, list others):
        """Search for a group and answer it; calls whose deadline has passed are among the others then."""
        cdef list places = []
        cdef _Taken each
        cdef int place
        cdef uint64_t now = now_ns()
        for place, each in enumerate(group.calls):
            if now >= <uint64_t> each.call.deadline_ns:
                others.append(each.call)
            else:
                places.append(place)
        depths = {(<_Taken> group.calls[place]).fetch for place in places}
        if len(depths) == 1 and len(places) == len(group.calls):
            self._search(group.lane, group.calls, group.users[: len(places)], others)
            return
        for depth in depths:
            alike = [place for place in places if (<_Taken> group.calls[place]).fetch == depth]
            self._search(group.lane, [group.calls[place] for place in alike], group.users[alike], others)

    cdef _search(self, Lane lane, list calls, users, list others):
        """Answer calls that fetch as many rows; those that fail are among the others then."""
        cdef _Taken each
        cdef int64_t searched, searching = now_ns()
        cdef int place
        cdef const int64_t[:, ::1] rows
        cdef const float[:, ::1] scores
        try:
            found = lane.search(users, (<_Taken> calls[0]).fetch)
            rows, scores = found.rows, found.scores
        except Exception as error:  # whose fault it is shows when each is answered the readable way
            translate(error)
            others.extend([each.call for each in calls])
            return
        searched = now_ns()
        self.metrics.group(len(calls))
        for place, each in enumerate(calls):
            each.encode_us = <int> (each.encode_ns // 1000)
            each.search_us = <int> ((searched - searching) // (1000 * len(calls)))
            each.found, each.place = found, place
            reply = self._written(each, &rows[place, 0], &scores[place, 0], rows.shape[1])
            if reply is None:
                others.append(each.call)
            else:
                each.call.reply(reply)
                self.done.append(each)

    cdef bytes _written(self, _Taken each, const int64_t *rows, const float *scores, Py_ssize_t there):
        """Write a reply; None if there are fewer than k."""
        cdef int64_t replying = now_ns()
        cdef Lane lane = each.lane
        cdef char[LONGEST_REPORT] report
        cdef Py_ssize_t report_size = _write_report(report, each)
        cdef char[LONGEST_NUMBER] unknown
        cdef Py_ssize_t unknown_size = write_number(unknown, UNKNOWN_ITEMS, each.unknown) - unknown
        cdef Py_ssize_t candidates = lane.k * <Py_ssize_t> CANDIDATE
        cdef bytes reply = PyBytes_FromStringAndSize(
            NULL, candidates + len(lane.head) + unknown_size + report_size + len(lane.tail)
        )
        cdef char *at = PyBytes_AS_STRING(reply)
        if not _write_candidates(at, each, rows, scores, there):
            return None
        at = write_bytes(at + candidates, PyBytes_AS_STRING(lane.head), len(lane.head))
        at = write_bytes(at, unknown, unknown_size)
        at = write_bytes(at, report, report_size)
        write_bytes(at, PyBytes_AS_STRING(lane.tail), len(lane.tail))
        each.ended_ns = now_ns()
        each.reply_ns = each.ended_ns - replying
        return reply


cdef int _ascending(const void *one, const void *other) noexcept nogil:
    cdef int32_t first = (<const int32_t *> one)[0], second = (<const int32_t *> other)[0]
    return (first > second) - (first < second)


cdef bytes _distinct(const int32_t *rows, int count):
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


cdef bint _write_candidates(
    char *at, _Taken each, const int64_t *rows, const float *scores, Py_ssize_t there
) noexcept:
    """Write the best k that are not left out; False if there are fewer."""
    cdef Py_ssize_t place
    cdef int written = 0
    cdef bint leaves_out = PyBytes_GET_SIZE(each.left_out) > 0
    cdef const uint64_t *item_ids = each.lane.item_ids
    for place in range(there):
        shortlist_prefetch(&item_ids[rows[place]])
    for place in range(there):
        if written == each.lane.k:
            break
        if not (leaves_out and each.leaves_out(rows[place])):
            at = write_candidate(at, item_ids[rows[place]], scores[place])
            written += 1
    return written == each.lane.k


cdef Py_ssize_t _write_report(char *at, _Taken each) except -1:
    """Write the source's report with tag and length; how many bytes."""
    cdef bytes head = each.lane.report_head, end = each.lane.report_end_of(each.found.method)
    cdef char[LONGEST_REPORT] content
    if len(head) + len(end) + 4 * LONGEST_NUMBER > LONGEST_REPORT:
        raise ValueError(f"a report of {len(head) + len(end)} bytes is too long")
    cdef char *to = write_bytes(content, PyBytes_AS_STRING(head), len(head))
    to = write_number(to, ENCODE_US, each.encode_us)
    to = write_number(to, SEARCH_US, each.search_us)
    to = write_bytes(to, PyBytes_AS_STRING(end), len(end))
    to = write_number(to, FETCHED, each.fetch)
    return write_bytes(write_number(at, REPORT, to - content), content, to - content) - at
