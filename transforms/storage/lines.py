"""Chunks cut into lines, in bounded memory however long the lines are."""

import itertools
from collections.abc import Iterable, Iterator
from typing import NamedTuple

_HEAD = 4096


class Lines(NamedTuple):
    """Consecutive lines without their newlines; `offset` is where the first begins in the decompressed file.

    `cut` marks a single line longer than the limit, of which only the first bytes are here.
    """

    offset: int
    lines: list[bytes]
    cut: bool = False


def lines(chunks: Iterable[bytes], *, limit: int, offset: int = 0) -> Iterator[Lines]:
    """Cuts chunks at newlines, holding at most `limit` bytes and one chunk at a time.

    Lines end with \\n (a \\r before it stays on the line); the last needs no newline. Blank lines are given
    too, except those longer than the limit. A line longer than the limit may come whole, when one chunk and
    the start before it hold it; otherwise it comes cut.
    """
    held: list[bytes] = []
    size = 0  # of the unfinished line
    overlong = False
    for chunk in chunks:
        if overlong:
            end = chunk.find(b"\n")
            if end < 0:
                size += len(chunk)
                held = _head(held, chunk)
                continue
            if head := _head(held, chunk[:end])[0].strip():
                yield Lines(offset, [head], cut=True)
            offset += size + end + 1
            chunk, held, size, overlong = chunk[end + 1 :], [], 0, False
        end = chunk.rfind(b"\n") + 1
        if end:
            block = b"".join([*held, memoryview(chunk)[:end]])
            found = block.split(b"\n")
            found.pop()
            yield Lines(offset, found)
            offset += len(block)
            held, size = [], 0
        if end < len(chunk):
            held.append(chunk[end:])
            size += len(chunk) - end
        if size > limit:
            overlong = True
            held = _head(held, b"")
    if not size:
        return
    last = b"".join(held)
    if not overlong:
        yield Lines(offset, [last])
    elif last.strip():
        yield Lines(offset, [last.strip()], cut=True)


def owned_lines(chunks: Iterator[bytes], *, begin: int, start: int, stop: int, limit: int) -> Iterator[Lines]:
    """The lines that start in bytes start..stop of a file, whose chunks begin at `begin`: start - 1, or 0.

    Ranges that meet own every line once, wherever they are cut.
    """
    if begin == start:
        return lines(_until(chunks, begin, stop), limit=limit, offset=start)
    position = begin
    for chunk in chunks:
        newline = chunk.find(b"\n")
        if newline >= 0 and position + newline + 1 < stop:
            first = position + newline + 1
            owned = itertools.chain([chunk[newline + 1 :]], chunks)
            return lines(_until(owned, first, stop), limit=limit, offset=first)
        position += len(chunk)
        if newline >= 0 or position >= stop:
            break
    return iter(())


def _until(chunks: Iterable[bytes], position: int, stop: int) -> Iterator[bytes]:
    """Chunks up to the end of the line that holds byte stop - 1."""
    for chunk in chunks:
        newline = chunk.find(b"\n", max(stop - 1 - position, 0))
        if newline >= 0:
            yield chunk[: newline + 1]
            return
        yield chunk
        position += len(chunk)


def _head(held: list[bytes], chunk: bytes) -> list[bytes]:
    """The first bytes of an overlong line, leading blanks left out: nothing while it is all blank."""
    head = b"".join(held).lstrip()[:_HEAD]
    return [head or chunk.lstrip()[:_HEAD]] if len(head) < _HEAD else [head]
