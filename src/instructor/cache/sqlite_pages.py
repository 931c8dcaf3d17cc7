"""Reads the rows of a damaged file page by page, without SQLite (https://sqlite.org/fileformat2.html).

SQLite finds the rows of a table from its root page down, so one damaged page hides all below it. But each leaf page of
the table holds its rows complete, or says where the rest of them is. So whatever leads to the leaves isn't needed.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, TypeAlias

PAGE = 4096
"""The size of a page, in bytes. All files of a `DiskCache` have this one."""

Value: TypeAlias = bytes | int | float | None
Row: TypeAlias = tuple[Value, ...]

_LEAF = 13
"""The first byte of a leaf page of a table."""

_MAP_ENTRIES = PAGE // 5
"""How many pages one pointer map page describes, in five bytes each."""

_FREE, _KINDS = 2, range(1, 6)
"""What the first of these five bytes says of a page that is not in use; and all that it can say."""

_WHOLE, _LEAST = PAGE - 35, (PAGE - 12) * 32 // 255 - 23
"""How long a row may be to stay on its leaf page as a whole, and how much of a longer one is there at least."""

_NUMBER_SIZES = (0, 1, 2, 3, 4, 6, 8, 8, 0, 0)
_REAL, _ZERO, _ONE, _FIRST_TEXT = 7, 8, 9, 12
"""How a row tells the types of its members: numbers of several sizes, and from 12 on bytes and text of any length."""


def read_rows(path: Path) -> Iterator[Row]:
    """Yield the members of every row of every table that can be read.

    Rows that were removed, on pages that are free now, are left out.
    """
    with path.open("rb") as file, _open_wal(path) as wal:
        pages = _Pages(file, wal)
        listed = _list_free(pages)
        for number in range(3, pages.count + 1):
            page = pages.read(number)
            if page[0] == _LEAF and not _is_free(pages, number, listed):
                yield from _read_leaf(pages, page)


def _open_wal(path: Path) -> BinaryIO:
    try:
        return Path(f"{path}-wal").open("rb")
    except OSError:
        from io import BytesIO

        return BytesIO()


class _Pages:
    """The pages of a file, from 1 on, each as it was last committed: from the WAL where that has it."""

    def __init__(self, file: BinaryIO, wal: BinaryIO) -> None:
        self._file = file
        self._wal = wal
        self._frames = _find_frames(wal)
        self.count = max([file.seek(0, 2) // PAGE, *self._frames])

    def read(self, number: int) -> bytes:
        """Return a page; one of zeros if there is no such page."""
        at = self._frames.get(number)
        source, start = (self._file, (number - 1) * PAGE) if at is None else (self._wal, at)
        if number < 1:
            return bytes(PAGE)
        source.seek(start)
        return source.read(PAGE).ljust(PAGE, b"\0")


def _find_frames(wal: BinaryIO) -> dict[int, int]:
    """Where in the WAL the last committed version of each page is. Frames left from before have another salt."""
    salt = wal.read(32)[16:24]
    committed: dict[int, int] = {}
    pending: dict[int, int] = {}
    while len(frame := wal.read(24)) == 24 and frame[8:16] == salt:  # noqa: PLR2004 - the size of a frame's header
        page, pages_after_commit = struct.unpack_from(">II", frame)
        pending[page] = wal.tell()
        if pages_after_commit:
            committed.update(pending)
            pending.clear()
        wal.seek(PAGE, 1)
    return {page: at for page, at in committed.items() if page < 1 << 31}


def _list_free(pages: _Pages) -> set[int]:
    """Return the pages in the list of free pages, as far as that can be read."""
    free: set[int] = set()
    trunk = _read_int(pages.read(1), 32)
    while trunk and trunk not in free:
        free.add(trunk)
        page = pages.read(trunk)
        trunk, count = struct.unpack_from(">II", page)
        free.update(struct.unpack_from(f">{min(count, PAGE // 4 - 2)}I", page, 8))
    return free


def _is_free(pages: _Pages, number: int, listed: set[int]) -> bool:
    """Whether a page is not in use: by the pointer map, and where that is damaged by the list of free pages."""
    start = 2 + (number - 3) // (_MAP_ENTRIES + 1) * (_MAP_ENTRIES + 1)
    kind = pages.read(start)[5 * (number - start - 1)] if number > start else 0
    return kind == _FREE if kind in _KINDS else number in listed


def _read_leaf(pages: _Pages, page: bytes) -> Iterator[Row]:
    count = int.from_bytes(page[3:5])
    for at in struct.unpack_from(f">{min(count, PAGE // 2 - 4)}H", page, 8):
        with suppress(ValueError, IndexError, struct.error):
            yield _read_row(pages, page, at)


def _read_row(pages: _Pages, page: bytes, at: int) -> Row:
    """Read the row at a place of a leaf page. ValueError, IndexError or struct.error if it is damaged."""
    size, at = _read_varint(page, at)
    _, at = _read_varint(page, at)  # the number of the row
    here = size if size <= _WHOLE else _LEAST + (size - _LEAST) % (PAGE - 4)
    if here > _WHOLE:
        here = _LEAST
    start = page[at : at + here]
    types, first = _read_types(start)
    if len(start) != here or first + sum(map(_size_of, types)) != size:
        raise ValueError("the sizes of a row and of its members contradict each other")
    rest = _read_chain(pages, _read_int(page, at + here), size - here) if here < size else b""
    return tuple(_read_values(types, start + rest, first))


def _read_chain(pages: _Pages, number: int, size: int) -> bytes:
    """Read the rest of a row from its overflow pages. Each begins with the number of the next."""
    pieces: list[bytes] = []
    while size > 0:
        if not 0 < number <= pages.count:
            raise ValueError("a row ends too early")
        page = pages.read(number)
        pieces.append(page[4 : 4 + min(size, PAGE - 4)])
        size -= len(pieces[-1])
        number = _read_int(page, 0)
    return b"".join(pieces)


def _read_types(data: bytes) -> tuple[list[int], int]:
    """Return the types of a row's members, and where the first of them begins."""
    end, at = _read_varint(data, 0)
    types: list[int] = []
    while at < end:
        kind, at = _read_varint(data, at)
        types.append(kind)
    return types, end


def _size_of(kind: int) -> int:
    return _NUMBER_SIZES[kind] if kind < _FIRST_TEXT else (kind - _FIRST_TEXT) // 2


def _read_values(types: list[int], data: bytes, at: int) -> Iterator[Value]:
    for kind in types:
        piece = data[at : at + _size_of(kind)]
        at += len(piece)
        if kind >= _FIRST_TEXT:
            yield piece
        elif kind == _REAL:
            yield struct.unpack(">d", piece)[0]
        elif kind in {_ZERO, _ONE}:
            yield kind - _ZERO
        else:
            yield int.from_bytes(piece, signed=True) if kind else None


def _read_int(data: bytes, at: int) -> int:
    number: int = struct.unpack_from(">I", data, at)[0]
    return number


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    """Read a number of one to nine bytes; return it, and where it ends."""
    number = 0
    for last in range(at, at + 8):
        number = number << 7 | data[last] & 0x7F
        if data[last] < 0x80:  # noqa: PLR2004 - the bit that says whether there is more
            return number, last + 1
    return number << 8 | data[at + 8], at + 9
