# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""What usual requests of one country, profile and k share, in compiled code: ids to rows, rows to the user's vector."""

from libc.stdint cimport int32_t, uint8_t, uint64_t
from libc.string cimport memcpy

from server.lane_wire cimport read_id, shortlist_prefetch

cdef enum:
    LINE = 64  # bytes that memory gives at once

cdef uint64_t MULTIPLIER = 0x9E3779B97F4A7C15  # that of index_store.id_table


cdef class Lane:
    """What requests share that differ in their histories only, or besides in time and features.

    k: how many candidates. excludes: whether the history's own items are left out. start: of the country in
    `WorkerMetrics`. user: makes what is searched for of a request without its history, and of (3, T) int64 rows,
    types and times of its interactions; None where that is LED's mean of the newest `max_history`. search: finds so
    many rows for a group, `Found` for each of such users, None where an encoder fails; or `Neighbours` for means (B,
    D). depth: how many rows, by how many are left out; 0 where that is not the lane's to answer. run: by method and
    plan of a search, its kind in `WorkerMetrics` and the end of its report, serialised. head, unused, report_head,
    tail: the serialised fields that every reply has, before and after the unknown items, first in the source's
    report, and after it.
    """

    def __init__(self, country, int k, *, bint excludes, int start, user, int max_history, search, depth, run, head,
                 unused, report_head, tail):
        self.k, self.excludes, self.start, self.max_history = k, excludes, start, max_history
        self.user, self.search, self.depth, self.run = user, search, depth, run
        self.head, self.unused, self.report_head, self.tail = head, unused, report_head, tail
        self.depths, self.runs = {}, {}
        self._point_at(country.catalog, country.led.vectors)

    cdef _point_at(self, catalog, const float[:, :] vectors):
        table = catalog.id_table
        cdef const int32_t[::1] begins = table.begins
        cdef const int32_t[::1] rows = table.ordered_rows
        cdef const uint64_t[::1] products = table.products
        cdef const uint64_t[::1] item_ids = catalog.item_ids
        if vectors.strides[1] != sizeof(float):
            raise ValueError("expected vectors whose rows are in one piece")
        self.kept = (begins, rows, products, item_ids, vectors)
        self.begins, self.rows, self.products = &begins[0], &rows[0], &products[0]
        self.item_ids, self.vectors = &item_ids[0], <const char *> &vectors[0, 0]
        self.shift, self.width, self.items = table.shift, table.width, <int> item_ids.shape[0]
        self.stride, self.dim = vectors.strides[0], <int> vectors.shape[1]

    cdef int fetch(self, int left_out) except -1:
        """How many rows to fetch where so many are left out; 0 if that is not ours to answer."""
        found = self.depths.get(left_out)
        if found is None:
            found = self.depths[left_out] = self.depth(left_out)
        return found

    cdef tuple run_of(self, method, plan):
        found = self.runs.get((method, plan))
        if found is None:
            found = self.runs[method, plan] = self.run(method, plan)
        return found

    cdef int look_up(self, const uint8_t *records, int count, int size, int32_t *rows, int32_t *places) noexcept:
        """Find the rows of the records' ids that the catalogue has, and which records these are; how many.

        Each of the three places where an id leads is asked of memory for all of them before the next one is.
        """
        cdef int place, known = 0
        cdef uint64_t product
        for place in range(count):
            product = read_id(records + place * size) * MULTIPLIER
            shortlist_prefetch(&self.begins[product >> self.shift])
        for place in range(count):
            product = read_id(records + place * size) * MULTIPLIER
            places[place] = self.begins[product >> self.shift]
            shortlist_prefetch(&self.products[places[place]])
            shortlist_prefetch(&self.rows[places[place]])
        for place in range(count):
            product = read_id(records + place * size) * MULTIPLIER
            rows[known], places[known] = self.row_of(product, places[place]), place
            known += rows[known] >= 0
        return known

    cdef int row_of(self, uint64_t product, int begin) noexcept:
        """Look an id up as `index_store.id_table.IdTable.rows` does; -1 = not in the catalogue."""
        cdef int place = begin, end = min(begin + self.width, self.items)
        while place < end:
            if self.products[place] == product:
                return self.rows[place]
            place += 1
        return -1

    cdef void average(self, const int32_t *rows, int count, float *user) noexcept:
        """Write `[mean(v_h), 1]` of a history's newest rows: sums in the order of `models.led.mean_users`."""
        cdef int place, column, first = max(count - self.max_history, 0)
        cdef Py_ssize_t line
        cdef const float *vector
        cdef float length = count - first
        for place in range(first, count):
            for line in range((self.dim * sizeof(float) + LINE - 1) // LINE):
                shortlist_prefetch(self.vectors + rows[place] * self.stride + line * LINE)
        memcpy(user, self.vectors + rows[first] * self.stride, self.dim * sizeof(float))
        for place in range(first + 1, count):
            vector = <const float *> (self.vectors + rows[place] * self.stride)
            for column in range(self.dim):
                user[column] += vector[column]
        for column in range(self.dim):
            user[column] /= length
        user[self.dim - 1] = 1.0
