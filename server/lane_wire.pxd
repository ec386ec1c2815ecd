# cython: language_level=3
"""What `server.lanes` reads and writes on the wire, byte by byte: records of a history, varints, candidates."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libc.string cimport memcpy, memset
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec

cdef extern from *:
    """
    #define shortlist_prefetch(address) __builtin_prefetch(address)
    """
    void shortlist_prefetch(const void *address) noexcept nogil

cdef enum:
    # a request: country, then records of interactions by id as in server.records, then the rest
    COUNTRY = 0x0A
    HISTORY = 0x12
    ID = 0x09
    TYPE = 0x18
    TIME = 0x20
    MORE = 0x80  # a varint goes on
    LARGEST_TYPE = 5
    HEAD = 2  # a tag and a length
    ID_AT = 3
    ID_END = 11
    TYPE_BYTES = 2
    TIME_BYTES = 7
    # a candidate of a reply: tag, length, then id, score and mask with a tag each
    CANDIDATE = 21
    CANDIDATE_LENGTH = 19
    CANDIDATES = 0x0A
    SCORE = 0x15
    MASK = 0x25
    FIRST_SOURCE = 1
    # other fields of a reply, and of its report
    UNKNOWN_ITEMS = 0x20
    REPORT = 0x32
    ENCODE_US = 0x18
    SEARCH_US = 0x20
    FETCHED = 0x40
    LONGEST_NUMBER = 11


cdef inline int64_t now_ns() noexcept nogil:
    """Read the clock of `time.perf_counter_ns`."""
    cdef timespec time
    clock_gettime(CLOCK_MONOTONIC, &time)
    return time.tv_sec * 1_000_000_000 + time.tv_nsec


cdef inline bint is_record(const uint8_t *at, int length, bint typed, bint timed) noexcept nogil:
    """Whether tags, length and varints stand where they should."""
    cdef int place
    if at[0] != HISTORY or at[1] != length - HEAD or at[HEAD] != ID:
        return False
    at += ID_END
    if typed:
        if at[0] != TYPE or at[1] & MORE:
            return False
        at += TYPE_BYTES
    if timed:
        if at[0] != TIME or at[TIME_BYTES - 1] & MORE:
            return False
        for place in range(1, TIME_BYTES - 1):
            if not at[place] & MORE:
                return False
    return True


cdef inline int count_records(
    const uint8_t *at, Py_ssize_t size, int most, Py_ssize_t *begin, int *record
) noexcept nogil:
    """Find the interactions by id that all have the same fields, as `server.records.read_history` does.

    How many there are; 0 where the readable way has to be gone. begin, record: where they stand, and each one's size.
    """
    if size <= HEAD or at[0] != COUNTRY or at[1] & MORE:
        return 0
    cdef Py_ssize_t start = HEAD + at[1]
    if size <= start + 1 or at[start] != HISTORY:
        return 0
    cdef int length = at[start + 1] + HEAD
    cdef bint typed = length == ID_END + TYPE_BYTES or length == ID_END + TYPE_BYTES + TIME_BYTES
    cdef bint timed = length == ID_END + TIME_BYTES or length == ID_END + TYPE_BYTES + TIME_BYTES
    if not typed and not timed and length != ID_END:
        return 0
    cdef int count = 0
    cdef Py_ssize_t place = start
    while place + length <= size and is_record(at + place, length, typed, timed):
        if count == most or (typed and at[place + ID_END + 1] > LARGEST_TYPE):
            return 0
        count += 1
        place += length
    if place < size and at[place] == HISTORY:
        return 0
    begin[0], record[0] = start, length
    return count


cdef inline uint64_t read_id(const uint8_t *record) noexcept nogil:
    """The item id of a record."""
    cdef uint64_t found
    memcpy(&found, record + ID_AT, sizeof(found))
    return found


cdef inline int64_t read_type(const uint8_t *record, int size) noexcept nogil:
    """The interaction's type of a record of `size` bytes, 0 where it has none."""
    return record[ID_END + 1] if size == ID_END + TYPE_BYTES or size == ID_END + TYPE_BYTES + TIME_BYTES else 0


cdef inline int64_t read_time(const uint8_t *record, int size) noexcept nogil:
    """The milliseconds of a record of `size` bytes, whose last field they are; 0 where it has none."""
    cdef int64_t found = 0
    cdef int place
    if size < ID_END + TIME_BYTES:
        return 0
    for place in range(1, TIME_BYTES):
        found = (found << 7) | (record[size - place] & (MORE - 1))
    return found


cdef inline char *write_candidate(char *at, uint64_t item_id, float score) noexcept nogil:
    """Write a candidate of the reply's first source; where the next one comes."""
    at[0], at[1], at[2], at[11], at[16] = CANDIDATES, CANDIDATE_LENGTH, ID, SCORE, MASK
    memcpy(at + 3, &item_id, sizeof(item_id))
    memcpy(at + 12, &score, sizeof(score))
    memset(at + 17, 0, 4)
    at[17] = FIRST_SOURCE
    return at + CANDIDATE


cdef inline char *write_number(char *at, uint8_t tag, uint64_t value) noexcept nogil:
    """Write a varint field, nothing for 0 as proto3 wants it; where the next one comes."""
    if not value:
        return at
    at[0] = tag
    at += 1
    while value >= MORE:
        at[0] = (value & (MORE - 1)) | MORE
        at += 1
        value >>= 7
    at[0] = value
    return at + 1


cdef inline char *write_bytes(char *at, const char *content, Py_ssize_t size) noexcept nogil:
    """Copy what is serialised already; where the next one comes."""
    memcpy(at, content, size)
    return at + size
