"""Parameters: checked, complete on the record, drawn as the profiles say."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forensic.errors import BadInput, ForensicError, UsageError
from forensic.simulation.draw import (
    PROFILES,
    Codec,
    Degradation,
    Motion,
    MovingObject,
    Optics,
    Recorder,
    Sampling,
    Sensor,
    draw,
)

_JUNK = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=12), st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=4), st.integers(), max_size=2),
)  # fmt: skip


def _rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("profile", PROFILES)
def test_every_draw_goes_through_json_and_back(profile: str) -> None:
    for seed in range(200):
        drawn = draw(_rng(seed), profile)
        assert Degradation.from_record(json.loads(json.dumps(drawn.to_record()))) == drawn


def test_the_record_holds_every_parameter() -> None:
    drawn = draw(_rng(1), motion=Motion(objects=(MovingObject(),)))
    record = drawn.to_record()
    assert set(record) == {"optics", "sampling", "sensor", "recorder", "codec", "motion", "profile", "version"}
    for part in ("optics", "sampling", "sensor", "recorder", "codec"):
        assert record[part] == asdict(getattr(drawn, part))
    assert record["motion"]["objects"] == [asdict(MovingObject())]


@settings(max_examples=300, deadline=None)
@given(
    st.integers(0, 2**32),
    st.sampled_from(["optics", "sampling", "sensor", "recorder", "codec", "motion", "profile", "version"]),
    st.integers(0, 20),
    _JUNK,
    st.booleans(),
)
def test_a_damaged_record_is_refused_or_is_another_degradation(
    seed: int, part: str, which: int, junk: Any, drop: bool
) -> None:
    record = draw(_rng(seed)).to_record()
    target: Any = record
    key = part
    if isinstance(record[part], dict) and which:
        target = record[part]
        key = sorted(target)[which % len(target)]
    if drop:
        del target[key]
    else:
        target[key] = junk
    try:
        again = Degradation.from_record(record)
    except ForensicError as error:
        assert error.code in {"simulation.record", "simulation.parameter", "simulation.version"}
    else:
        assert not drop
        assert again.to_record() == record or json.dumps(again.to_record()) == json.dumps(record)


def test_a_strange_or_missing_key_is_refused() -> None:
    record = draw(_rng(0)).to_record()
    with pytest.raises(BadInput, match=r"simulation\.record"):
        Degradation.from_record({**record, "more": 1})
    with pytest.raises(BadInput, match=r"simulation\.record"):
        Degradation.from_record({**record, "optics": {"kind": "none"}})
    with pytest.raises(UsageError, match=r"simulation\.version"):
        Degradation.from_record({**record, "version": 99})


@pytest.mark.parametrize(
    "make",
    [
        lambda: Optics("blurry"),
        lambda: Optics("defocus"),
        lambda: Optics("defocus", radius=2.0, sigma_x=1.0),
        lambda: Optics("gaussian", sigma_x=1.0),
        lambda: Optics("gaussian", sigma_x=float("nan"), sigma_y=1.0),
        lambda: Sampling(5),
        lambda: Sampling(True),
        lambda: Sensor(gain=-0.1),
        lambda: Sensor(read_noise=float("inf")),
        lambda: Recorder(text="\n"),
        lambda: Recorder(text="é"),
        lambda: Recorder(interlace="both"),
        lambda: Codec("av1", crf=30),
        lambda: Codec("h264"),
        lambda: Codec("h264", crf=20, qp=20),
        lambda: Codec("h264", quality=5),
        lambda: Codec("mjpeg", crf=20),
        lambda: Codec("none", crf=20),
        lambda: Codec("h264", crf=52),
        lambda: Codec("h264", crf=20, fps="0"),
        lambda: Codec("h264", crf=20, fps="1e99"),
        lambda: Codec("h264", crf=20, fps="25/0"),
        lambda: Motion(jitter=-1),
        lambda: Motion(objects=("car",)),  # type: ignore[arg-type]
        lambda: Degradation(recorder=Recorder(chroma_420=False), codec=Codec("mpeg4", quality=4)),
    ],
)
def test_parameters_that_make_no_sense_are_refused(make: Any) -> None:
    with pytest.raises(UsageError, match=r"^\[simulation\.parameter\]"):
        make()


def test_the_issue_table_profile_is_the_stated_setting() -> None:
    drawn = draw(_rng(0), "issue-table", crf=28)
    assert drawn == draw(_rng(99), "issue-table")
    assert (drawn.sampling.factor, drawn.codec.name, drawn.codec.crf) == (4, "h264", 28)
    assert drawn.optics.kind == "gaussian" and drawn.motion.jitter == 0.5
    assert draw(_rng(0), "issue-table", crf=None).codec.name == "none"


def test_fixing_one_part_leaves_the_other_draws_alone() -> None:
    free = draw(_rng(7))
    fixed = draw(_rng(7), codec=Codec("h264", crf=30), factor=2)
    assert (fixed.sampling.factor, fixed.codec.crf) == (2, 30)
    assert (fixed.optics, fixed.sensor, fixed.recorder, fixed.motion) == (
        free.optics, free.sensor, free.recorder, free.motion,
    )  # fmt: skip


def test_unknown_profile_and_unknown_override_are_refused() -> None:
    with pytest.raises(UsageError, match=r"simulation\.profile"):
        draw(_rng(0), "bodycam")
    with pytest.raises(UsageError, match=r"simulation\.parameter"):
        draw(_rng(0), crff=3)


def test_the_cctv_profile_has_the_documented_shares() -> None:
    drawn = [draw(_rng(seed)) for seed in range(2000)]
    share = {
        name: np.mean([each.codec.name == name for each in drawn])
        for name in ("h264", "h265", "mpeg4", "mjpeg", "none")
    }
    for name, expected in {"h264": 0.5, "h265": 0.15, "mpeg4": 0.1, "mjpeg": 0.1, "none": 0.15}.items():
        assert share[name] == pytest.approx(expected, abs=4 * np.sqrt(expected * (1 - expected) / 2000))
    assert np.mean([each.optics.kind == "gaussian" for each in drawn]) == pytest.approx(0.55, abs=0.045)
    assert np.mean([each.sampling.factor == 4 for each in drawn]) == pytest.approx(0.4, abs=0.045)
    assert np.mean([each.recorder.interlace != "none" for each in drawn]) == pytest.approx(0.1, abs=0.03)


def test_draws_change_only_with_the_version() -> None:
    records = [draw(_rng(seed)).to_record() for seed in range(50)]
    rounded = json.loads(json.dumps(records), parse_float=lambda text: round(float(text), 9))
    digest = hashlib.sha256(json.dumps(rounded, sort_keys=True).encode()).hexdigest()
    assert digest == "dbb3ca70a3822bc132b6573cdf4906d4201c63145d75bfdaf8e1a7da347b3ef7"
