"""Which frames are mapped."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forensic.errors import UsageError
from forensic.risk.selection import frames_to_map


@given(st.integers(0, 10_000), st.integers(1, 16))
def test_every_frame_of_a_short_selection_is_mapped(start, count):
    selection = frames_to_map(range(start, start + count))
    assert selection.frames == tuple(range(start, start + count))
    assert str(count) in selection.rule


@given(st.integers(0, 10_000), st.integers(17, 5000), st.data())
def test_a_long_selection_gets_eight_even_frames_and_the_named_ones(start, count, data):
    frames = range(start, start + count)
    named = data.draw(st.lists(st.sampled_from(frames), max_size=5))
    selection = frames_to_map(frames, named)
    assert set(named) <= set(selection.frames)
    assert list(selection.frames) == sorted(set(selection.frames))
    even = frames_to_map(frames).frames
    assert len(even) == 8
    assert even[0] == frames[0]
    assert even[-1] == frames[-1]
    gaps = [after - before for before, after in pairwise(even)]
    assert max(gaps) - min(gaps) <= 1
    assert set(selection.frames) == set(even) | set(named)
    for index in set(named):
        assert str(index) in selection.rule


@pytest.mark.parametrize(
    ("frames", "stills"), [(range(10, 40), [9]), (range(10, 40), [40]), (range(5), [-1]), ([], [0])]
)
def test_a_still_outside_the_selection_is_refused(frames, stills):
    with pytest.raises(UsageError) as caught:
        frames_to_map(frames, stills)
    assert caught.value.code == "stills.out-of-range"
    assert str(stills[0]) in caught.value.message
