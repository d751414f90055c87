"""The tally: how many entries name an identifier, and which was the last, under one root.

A hash tree over all events, cases, exhibits and runs that occur. Every entry of format version 2
signs its root, so that a query answered by an index can be seen to be complete: as many entries
must come back as the tally has counted. The specification is docs/formats/ledger.md, section 6.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, MutableMapping
from typing import Literal, NamedTuple

Kind = Literal["event", "case", "exhibit", "run"]
KINDS: tuple[Kind, ...] = ("event", "case", "exhibit", "run")

NOTHING = bytes(32)
"""Root of an empty tally, and what a branch holds where no child is."""
_LEAF_BYTES = 48
_BRANCH_BYTES = 512


class Count(NamedTuple):
    """How many entries there are, and the number of the last; ``NONE`` if there is no such entry."""

    entries: int
    last: int


NONE = Count(0, 0)


def tally_key(kind: Kind, name: str) -> bytes:
    """Place of an identifier in the tree: SHA-256(kind || 0x00 || name)."""
    return hashlib.sha256(kind.encode() + b"\x00" + name.encode()).digest()


def content_hash(content: bytes) -> bytes:
    """SHA-256(0x00 || leaf) or SHA-256(0x01 || branch): the two never pass for each other."""
    return hashlib.sha256((b"\x00" if len(content) == _LEAF_BYTES else b"\x01") + content).digest()


def names(event: str, case: str | None, exhibit: str | None, run: str | None) -> Iterator[tuple[Kind, str]]:
    """What an entry counts for, in the order in which it is counted."""
    for kind, name in zip(KINDS, (event, case, exhibit, run), strict=True):
        if name is not None:
            yield kind, name


class BrokenTally(Exception):
    """A stored part of the tree is missing or is not what the root covers."""


class Tally:
    """The tree, or as much of it as was loaded: contents by path, a path being leading hexadecimal digits of keys."""

    def __init__(self, contents: MutableMapping[str, bytes], root: bytes = NOTHING, *, checked: bool = True) -> None:
        """``checked`` False spares the hashing on the way down in a tree that was built in this memory."""
        self.contents = contents
        self.root = root
        self._checked = checked
        self.changed: set[str] = set()
        """Paths whose contents were changed by ``add``."""

    def count(self, key: bytes) -> Count:
        """Look ``key`` up. Raises ``BrokenTally`` unless the way to it is what the root covers."""
        content = self._descend(key.hex())[1]
        if content is None or content[:32] != key:
            return NONE
        return Count(int.from_bytes(content[32:40], "big"), int.from_bytes(content[40:], "big"))

    def add(self, key: bytes, seq: int) -> Count:
        """Count entry ``seq`` for ``key``; return the count before. Raises ``BrokenTally`` as ``count``."""
        digits = key.hex()
        path, content = self._descend(digits)
        before = NONE
        if content is not None and content[:32] == key:
            before = Count(int.from_bytes(content[32:40], "big"), int.from_bytes(content[40:], "big"))
        elif content is not None:  # another key stands here: both move to where they differ
            other = content[:32].hex()
            depth = len(path)
            while other[depth] == digits[depth]:
                depth += 1
            self._put(other[: depth + 1], content)
            for level in range(depth, len(path) - 1, -1):
                below = self.contents[other[: level + 1]]
                self._put(other[:level], _with_child(bytes(_BRANCH_BYTES), other[level], content_hash(below)))
            path = digits[: depth + 1]
        self._put(path, key + (before.entries + 1).to_bytes(8, "big") + seq.to_bytes(8, "big"))
        hashed = content_hash(self.contents[path])
        for level in range(len(path) - 1, -1, -1):
            branch = _with_child(self.contents[digits[:level]], digits[level], hashed)
            self._put(digits[:level], branch)
            hashed = content_hash(branch)
        self.root = hashed
        return before

    def _put(self, path: str, content: bytes) -> None:
        self.contents[path] = content
        self.changed.add(path)

    def _descend(self, digits: str) -> tuple[str, bytes | None]:
        """The path at which the key stands or would stand, and what is there; checked from the root down."""
        expected, path = self.root, ""
        while expected != NOTHING:
            content = self.contents.get(path)
            if content is None or (self._checked and content_hash(content) != expected):
                raise BrokenTally(path)
            if len(content) == _LEAF_BYTES:
                return path, content
            at = 32 * int(digits[len(path)], 16)
            expected = content[at : at + 32]
            path = digits[: len(path) + 1]
        return path, None


def _with_child(branch: bytes, digit: str, child: bytes) -> bytes:
    at = 32 * int(digit, 16)
    return branch[:at] + child + branch[at + 32 :]


def prefixes(keys: Iterable[bytes], first: int, last: int) -> list[str]:
    """Paths of ``first`` to ``last`` digits (inclusive) at which ``keys`` may stand or be passed."""
    return sorted({key.hex()[:length] for key in keys for length in range(first, last + 1)})
