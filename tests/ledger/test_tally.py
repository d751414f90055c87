"""The tally: what it counts, that its root says it all, and that nothing else has that root."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forensic.ledger.tally import NONE, NOTHING, BrokenTally, Count, Tally, prefixes, tally_key

mentions = st.lists(st.tuples(st.sampled_from(["event", "run"]), st.text(max_size=2)), max_size=60)


def defined_root(counts: dict[bytes, Count], depth: int = 0) -> bytes:
    """The root by the recursive definition of docs/formats/ledger.md, section 6."""
    if not counts:
        return bytes(32)
    if len(counts) == 1:
        ((key, count),) = counts.items()
        leaf = key + count.entries.to_bytes(8, "big") + count.last.to_bytes(8, "big")
        return hashlib.sha256(b"\x00" + leaf).digest()
    children = b""
    for digit in "0123456789abcdef":
        below = {key: count for key, count in counts.items() if key.hex()[depth] == digit}
        children += defined_root(below, depth + 1)
    return hashlib.sha256(b"\x01" + children).digest()


def build(told: list[tuple[str, str]]) -> tuple[Tally, dict[bytes, Count]]:
    tally, counts = Tally({}), {}
    for seq, (kind, name) in enumerate(told, 1):
        key = tally_key(kind, name)  # type: ignore[arg-type]
        before = counts.get(key, NONE)
        assert tally.add(key, seq) == before
        counts[key] = Count(before.entries + 1, seq)
    return tally, counts


@given(mentions)
def test_it_counts_and_its_root_is_the_defined_one(told: list[tuple[str, str]]) -> None:
    tally, counts = build(told)
    assert all(tally.count(key) == count for key, count in counts.items())
    assert tally.count(tally_key("run", "never mentioned")) == NONE
    assert tally.root == defined_root(counts)
    assert (tally.root == NOTHING) == (not told)


@given(st.sets(st.binary(min_size=2, max_size=2), min_size=2, max_size=40))
def test_keys_that_share_many_digits_stand_deep(ends: set[bytes]) -> None:
    tally, counts = Tally({}), {}
    for seq, end in enumerate(sorted(ends), 1):
        key = bytes(30) + end
        tally.add(key, seq)
        counts[key] = Count(1, seq)
    assert tally.root == defined_root(counts)
    assert all(tally.count(key) == count for key, count in counts.items())


@given(mentions.filter(bool), st.data())
def test_any_changed_part_on_the_way_is_noticed(told: list[tuple[str, str]], data: st.DataObject) -> None:
    tally, counts = build(told)
    key = data.draw(st.sampled_from(sorted(counts)))
    way = [path for path in tally.contents if key.hex().startswith(path)]
    path = data.draw(st.sampled_from(way))
    at = data.draw(st.integers(0, len(tally.contents[path]) - 1))
    changed = bytearray(tally.contents[path])
    changed[at] ^= data.draw(st.integers(1, 255))
    for contents in ({**tally.contents, path: bytes(changed)}, {p: c for p, c in tally.contents.items() if p != path}):
        with pytest.raises(BrokenTally):
            Tally(contents, tally.root).count(key)
        with pytest.raises(BrokenTally):
            Tally(dict(contents), tally.root).add(key, 1000)


def test_an_older_tally_does_not_pass_for_the_newer() -> None:
    tally = Tally({})
    for seq in range(1, 30):
        tally.add(tally_key("run", str(seq % 7)), seq)
    older = dict(tally.contents)
    tally.add(tally_key("run", "3"), 30)
    with pytest.raises(BrokenTally):
        Tally(older, tally.root).count(tally_key("run", "3"))


def test_the_same_name_of_another_kind_is_another_key() -> None:
    kinds = ("event", "case", "exhibit", "run")
    assert len({tally_key(kind, "x") for kind in kinds}) == len(kinds)


def test_only_the_way_to_the_keys_asked_for_is_needed() -> None:
    tally = Tally({})
    for seq in range(1, 200):
        tally.add(tally_key("run", str(seq)), seq)
    key = tally_key("run", "77")
    part = {path: tally.contents[path] for path in prefixes([key], 0, 8) if path in tally.contents}
    assert Tally(part, tally.root).count(key) == Count(1, 77)
