# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Answers the usual `Retrieve` in compiled code: read, look up, search, write. `server.usual` says what is.

    bytes → records → lane of the rest → rows ─┬→ LED's mean ──┬→ group's search → [leave out] → bytes → sent
                 │                             └→ `User` ──────┴→ group's source ───────┴──────┘
                 └─ anything unusual: given back

A search empties the caches, and the same steps in Python then cost as much as half a search: each call of a function
fetches its code anew. Here they are a few kilobytes. What they give is what the readable way through `server.decode`,
`server.retrieval` and `server.encode` gives, byte for byte but for durations: tests/server/test_lane*.py.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t

import numpy as np

from server.errors import translate
from server.observe import look

from server.lane cimport Lane
from server.lane_call cimport LaneCall, distinct
from server.lane_wire cimport count_records, now_ns, read_time, read_type

cdef extern from *:
    const char *SHORTLIST_COMPILED_FROM  # of hatch_build.py

COMPILED_FROM = SHORTLIST_COMPILED_FROM.decode()

cdef enum:
    LONGEST_REST = 128  # bytes of a request without its history
    # beyond this many a larger group saves little, and its first call would wait for its last
    GROUP_AT_MOST = 16
    MOST_LANES = 1024


cdef class _Group:
    """Calls of one lane, and their users: means (16, D), or a list of what the lane made of them."""

    cdef Lane lane
    cdef list calls
    cdef object users

    def __cinit__(self, Lane lane):
        self.lane, self.calls = lane, []
        self.users = [] if lane.user else np.empty((GROUP_AT_MOST, lane.dim), dtype=np.float32)


cdef class Lanes:
    """Answers the usual calls and gives the others back. Lives on one thread.

    find: the lane of a request whose history is cut out, and what else the request says; None if it is not usual; asked
    once for each. longest_history: interactions that a request may have. method: in `METHODS`. describe: tells of a
    call that was answered, for watchers. complete: answers a call whose source found less than k.
    """

    cdef object find, metrics, observer, describe, complete
    cdef int method, longest_history
    cdef dict lanes, groups
    cdef list done
    cdef object kept
    cdef int32_t *rows
    cdef int32_t *places

    def __init__(self, find, int longest_history, int method, observer, describe, complete):
        cdef int32_t[:, ::1] kept = np.empty((2, longest_history + 1), dtype=np.int32)
        self.find, self.longest_history, self.method = find, longest_history, method
        self.observer, self.metrics, self.describe, self.complete = observer, observer.metrics, describe, complete
        self.lanes, self.groups, self.done = {}, {}, []
        self.kept, self.rows, self.places = kept, &kept[0, 0], &kept[1, 0]

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
        cdef LaneCall each
        done, self.done = self.done, []
        for each in done:
            self.metrics.usual(
                self.method, each.started_ns - <int64_t> each.call.taken_ns, each.kind, each.encode_us,
                each.search_us, each.lane.start, each.lane.k, each.history, each.unknown, each.decode_ns,
                each.reply_ns, each.ended_ns - each.started_ns,
            )
            for watcher in self.observer.watchers:
                if watcher.wants(each.call, each.ended_ns - each.started_ns, each.ended_ns):
                    look(watcher, self._observed(each))

    cdef _observed(self, LaneCall each):
        return self.describe(
            each.call, each.user, each.found, each.place, np.frombuffer(each.left_out, dtype=np.int32),
            (each.lane.k, each.fetch, each.encode_us, each.search_us),
            (each.started_ns, each.decode_ns, each.reply_ns, each.ended_ns),
        )

    cdef _Group _take(self, call):
        """Read a call and make its user; the group that has it now. None, and nothing done, if it is not usual."""
        cdef int64_t decoded, started = now_ns()
        cdef bytes raw = call.raw
        cdef const uint8_t *at = <const uint8_t *> PyBytes_AS_STRING(raw)
        cdef Py_ssize_t begin = 0
        cdef int record = 0
        cdef int count = count_records(at, PyBytes_GET_SIZE(raw), self.longest_history, &begin, &record)
        if not count or <uint64_t> started >= <uint64_t> call.deadline_ns:
            return None
        cdef tuple found = self._lane(raw, begin, begin + count * record)
        if found is None:
            return None
        cdef Lane lane = found[0]
        cdef int known = lane.look_up(at + begin, count, record, self.rows, self.places)
        if not known:
            return None
        cdef bytes left_out = distinct(self.rows, known) if lane.excludes and lane.user is None else b""
        cdef int fetch = lane.fetch(PyBytes_GET_SIZE(left_out) // sizeof(int32_t))
        if not fetch:
            return None
        decoded = now_ns()
        cdef LaneCall taken = LaneCall.__new__(LaneCall)
        cdef _Group group = self.groups.get(lane)
        if group is None:
            group = _Group(lane)
        cdef float[:, ::1] users
        if lane.user is not None:
            taken.user = lane.user(found[1], self._history(at + begin, known, record))
            group.users.append(taken.user)
        else:
            users = group.users
            lane.average(self.rows, known, &users[len(group.calls), 0])
        taken.call, taken.lane, taken.left_out, taken.fetch = call, lane, left_out, fetch
        taken.history, taken.unknown, taken.started_ns = count, count - known, started
        taken.decode_ns, taken.encode_ns = decoded - started, now_ns() - decoded
        group.calls.append(taken)
        self.groups[lane] = group
        return group

    cdef _history(self, const uint8_t *records, int known, int size):
        """Rows, types and times (3, T) of the interactions with known items."""
        cdef int64_t[:, ::1] found = np.empty((3, known), dtype=np.int64)
        cdef int place
        cdef const uint8_t *record
        for place in range(known):
            record = records + self.places[place] * size
            found[0, place] = self.rows[place]
            found[1, place], found[2, place] = read_type(record, size), read_time(record, size)
        return found.base

    cdef tuple _lane(self, bytes raw, Py_ssize_t start, Py_ssize_t end):
        """The lane of a request whose records stand between `start` and `end`, and the rest; None if not usual."""
        if PyBytes_GET_SIZE(raw) - (end - start) > LONGEST_REST:
            return None
        rest = raw[:start] + raw[end:]
        try:
            return self.lanes[rest]
        except KeyError:
            if len(self.lanes) >= MOST_LANES:
                self.lanes.clear()
            found = self.lanes[rest] = self.find(rest)
            return found

    cdef _finish(self, _Group group, list others):
        """Search for a group and answer it; calls whose deadline has passed are among the others then."""
        cdef list places = []
        cdef LaneCall each
        cdef int place
        cdef uint64_t now = now_ns()
        for place, each in enumerate(group.calls):
            if now >= <uint64_t> each.call.deadline_ns:
                others.append(each.call)
            else:
                places.append(place)
        depths = {(<LaneCall> group.calls[place]).fetch for place in places}
        if len(depths) == 1 and len(places) == len(group.calls):
            self._search(group.lane, group.calls, group.users[: len(places)], others)
            return
        for depth in depths:
            alike = [place for place in places if (<LaneCall> group.calls[place]).fetch == depth]
            users = [group.users[place] for place in alike] if group.lane.user else group.users[alike]
            self._search(group.lane, [group.calls[place] for place in alike], users, others)

    cdef _search(self, Lane lane, list calls, users, list others):
        """Answer calls that fetch as many rows; those that fail are among the others then."""
        cdef LaneCall each
        cdef int64_t searching = now_ns()
        found = None
        try:
            found = lane.search(users, (<LaneCall> calls[0]).fetch)
            if lane.user is None:
                _share(calls, found, searching)
            elif found is not None:
                _share_out(calls, found)
        except Exception as error:  # whose fault it is shows when each is answered the readable way
            translate(error)
            found = None
        if found is None:
            others.extend([each.call for each in calls])
            return
        answered = 0
        for each in calls:
            reply = each.written()
            if reply is not None:
                each.call.reply(reply)
                self.done.append(each)
            elif not self._completed(each):
                others.append(each.call)
                continue
            answered += 1
        if answered:  # who answers the others counts them
            self.metrics.group(answered)

    cdef bint _completed(self, LaneCall each):
        """Have a call answered whose source has found what it can, with what the readable way adds."""
        if each.user is None:
            return False
        try:
            self.complete(each.call, each.user, each.found, each.started_ns, each.decode_ns)
        except Exception as error:  # as above
            translate(error)
            return False
        return True


cdef _share(list calls, found, int64_t searching):
    """Give each call its part of a search, and of the time since `searching`."""
    cdef const int64_t[:, ::1] rows = found.rows
    cdef const float[:, ::1] scores = found.scores
    cdef LaneCall each
    cdef int place
    cdef int64_t took_us = (now_ns() - searching) // (1000 * len(calls))
    for place, each in enumerate(calls):
        each.found, each.place, each.there = found, place, rows.shape[1]
        each.rows, each.scores = &rows[place, 0], &scores[place, 0]
        each.encode_us, each.search_us = <int> (each.encode_ns // 1000), <int> took_us
        each.kind, each.report_end = each.lane.run_of(found.method, "mask" if each.lane.excludes else "none")


cdef _share_out(list calls, list found):
    """Give each call what a source found for it."""
    cdef const int64_t[::1] rows
    cdef const float[::1] scores
    cdef LaneCall each
    for each, own in zip(calls, found, strict=True):
        rows, scores, each.found = own.rows, own.scores, own
        each.there = 0 if own.degradation else rows.shape[0]
        each.rows, each.scores, each.fetch = &rows[0], &scores[0], own.fetched
        each.encode_us, each.search_us = own.encode_us, own.search_us
        each.kind, each.report_end = each.lane.run_of(own.method, own.plan)
