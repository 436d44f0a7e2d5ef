"""Checks of a Parquet file's page headers, before anything is decoded from them.

A page's checksum covers its packed content, but nothing covers its header, which gives the unpacked size and the number
of values: a reader trusts it for up to 2 GB. The headers are therefore read here first, by themselves, and compared
with the most that a column of so many numbers can need. Their positions are read here too: asked for the columns of a
damaged footer, the library may abort.

Footer and headers are structures in Thrift's compact protocol. Anything that ours do not contain is refused rather than
guessed, so that this reader and the library never understand a file differently.
"""

from __future__ import annotations

from typing import BinaryIO, NamedTuple

_MAX_FOOTER = 1 << 20  # bytes; a group of a million rows takes two thousand
_MAX_HEADER = 4096  # bytes; ours, with their statistics, have fewer than a hundred
_MAX_DEPTH = 8  # nested structures; a footer has six
_ROOM = 64 << 10  # bytes that a column may need beside its values: headers, and levels of few values

# Types of Thrift's compact protocol.
_BOOLEANS, _BYTE, _INTEGERS, _BINARY, _LIST, _STRUCT = (1, 2), 3, {4: 16, 5: 32, 6: 64}, 8, 9, 12
# Fields by number, as in parquet.thrift: FileMetaData, RowGroup, ColumnChunk, ColumnMetaData, PageHeader and its two
# structures that describe a page.
_GROUPS = 4
_COLUMNS, _ROWS = 1, 3
_COLUMN = 3
_COLUMN_VALUES, _COLUMN_UNPACKED, _COLUMN_PACKED, _FIRST_DATA, _FIRST_DICTIONARY = 5, 6, 7, 9, 11
_KIND, _UNPACKED, _PACKED = 1, 2, 3
_VALUES, _ENCODING = 1, 2

_DATA, _DICTIONARY = 0, 2  # kinds of pages
_BODY = {_DATA: 5, _DICTIONARY: 7}  # the field that describes such a page
_ENCODINGS = (0, 2, 8)  # plain numbers, and the two names for indices of a dictionary's entries


class Chunk(NamedTuple):
    """A column's pages in a group of rows, according to the file's footer.

    Attributes:
        start: byte of the file with which its first page begins.
        packed: size of its pages in the file, headers included, bytes.
        unpacked: the same in memory.
        values: number of values.
    """

    start: int
    packed: int
    unpacked: int
    values: int


class Group(NamedTuple):
    """A group of rows: their number, and the pages of each column."""

    rows: int
    chunks: list[Chunk]


def read_groups(file: BinaryIO) -> list[Group]:
    """Read the groups of rows that the footer of a Parquet file names.

    Raises:
        ValueError: it has no footer, or not one of ours.
    """
    size = file.seek(0, 2)
    file.seek(max(size - 8, 0))
    end = file.read(8)
    length = int.from_bytes(end[:4], "little")
    if end[4:] != b"PAR1" or length > min(size - 12, _MAX_FOOTER):
        raise ValueError("no Parquet, or cut short")
    file.seek(size - 8 - length)
    footer = _Reader(file.read(length)).structure()
    return [
        Group(group.number(_ROWS), [_chunk(column) for column in group.inners(_COLUMNS)])
        for group in footer.inners(_GROUPS)
    ]


def _chunk(fields: _Fields) -> Chunk:
    column = fields.inner(_COLUMN)
    starts = [column.number(key) for key in (_FIRST_DATA, _FIRST_DICTIONARY) if key in column]
    sizes = (column.number(key) for key in (_COLUMN_PACKED, _COLUMN_UNPACKED, _COLUMN_VALUES))
    return Chunk(min(starts, default=-1), *sizes)


def check_pages(file: BinaryIO, chunk: Chunk, values: int, itemsize: int) -> None:
    """Check the pages of a column from header to header.

    Args:
        file: the Parquet file.
        chunk: the footer's description of the column.
        values: required number of values.
        itemsize: bytes of one.

    Raises:
        ValueError: a header cannot be read, or claims more than the column has in the file or can need in memory.
    """
    # At worst each value is also in a dictionary, with an index of four bytes, and its levels take less than one more.
    most = values * (2 * max(itemsize, 4) + 8) + _ROOM
    if chunk.values != values or min(chunk) < 0 or chunk.unpacked > most:
        raise ValueError(
            f"{chunk.values:,} values in {chunk.unpacked:,} bytes, expected {values:,} in {most:,} at most"
        )
    if not values:  # nothing is decoded, and there may be no page
        return
    place, end = chunk.start, chunk.start + chunk.packed
    unpacked = found = 0
    while place < end:
        file.seek(place)
        reader = _Reader(file.read(min(_MAX_HEADER, end - place)))
        header = reader.structure()
        kind = header.number(_KIND)
        if kind not in _BODY:
            raise ValueError("a page of another kind")
        body = header.inner(_BODY[kind])
        if body.number(_ENCODING) not in _ENCODINGS:
            raise ValueError("a page of another encoding")
        packed, more, count = header.number(_PACKED), header.number(_UNPACKED), body.number(_VALUES)
        place += reader.place + packed
        unpacked += reader.place + more
        if min(packed, more, count) < 0 or place > end or unpacked > chunk.unpacked or count > values:
            raise ValueError(f"a page header claims {count:,} values, {more:,} bytes and {packed:,} in the file")
        found += count if kind == _DATA else 0
    if found != values:
        raise ValueError(f"pages of {found:,} values, expected {values:,}")


class _Fields(dict[int, object]):
    """A structure's fields by number; ValueError if one is missing or of another type."""

    def number(self, key: int) -> int:
        value = self.get(key)
        if not isinstance(value, int):
            raise ValueError("a number is missing")
        return value

    def inner(self, key: int) -> _Fields:
        value = self.get(key)
        if not isinstance(value, _Fields):
            raise ValueError("a structure is missing")
        return value

    def inners(self, key: int) -> list[_Fields]:
        value = self.get(key)
        if not isinstance(value, list):
            raise ValueError("a list is missing")
        return [each for each in value if isinstance(each, _Fields)]


class _Reader:
    """Reader of structures of Thrift's compact protocol; ValueError for anything else."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.place = 0

    def structure(self, depth: int = _MAX_DEPTH) -> _Fields:
        """Read a structure's numbers, lists and structures; None for all other values."""
        fields = _Fields()
        number = 0
        while first := self._byte():
            step, kind = first >> 4, first & 15
            number = number + step if step else self._integer(16)
            if number in fields or not 0 < number < 1 << 15:
                raise ValueError("an impossible field")
            fields[number] = None if kind in _BOOLEANS else self._value(kind, depth)
        return fields

    def _value(self, kind: int, depth: int) -> object:
        if not depth:
            raise ValueError("nested too deep")
        if kind in _INTEGERS:
            return self._integer(_INTEGERS[kind])
        if kind == _BYTE:
            return self._byte()
        if kind == _STRUCT:
            return self.structure(depth - 1)
        if kind == _LIST:
            first = self._byte()
            count = first >> 4 if first >> 4 < 15 else self._varint(32)
            if count > len(self._data) - self.place:
                raise ValueError("a list without an end")
            return [self._value(first & 15, depth - 1) for _ in range(count)]
        if kind == _BINARY:
            length = self._varint(32)
            self.place += length
            return None
        raise ValueError("an unknown field")

    def _byte(self) -> int:
        if self.place >= len(self._data):
            raise ValueError("a structure without an end")
        self.place += 1
        return self._data[self.place - 1]

    def _varint(self, bits: int) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 127) << shift
            shift += 7
            if value >> bits or shift > 70:  # a reader would truncate it
                raise ValueError("too large a number")
            if byte < 128:
                return value

    def _integer(self, bits: int) -> int:
        value = self._varint(bits)
        return (value >> 1) ^ -(value & 1)
