"""Deflickering: a known flicker is removed by one gain and offset per frame, and nothing else decides."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from forensic.frames.frame import CodedFrame
from forensic.hashes import canonical_json
from forensic.stages import catalogue
from forensic.stages.pipeline import Pipeline

HEIGHT, WIDTH, BLACK = 96, 128, 16.0


@pytest.fixture
def lit(working, picture) -> Callable[..., list[CodedFrame]]:
    """Frames of a still scene under light of known gain (about black) and offset, with noise."""

    def make(gains, offsets, noise: float = 1.5, change=None, layout: str = "gray", seed: int = 0) -> list[CodedFrame]:
        generator = np.random.default_rng(3)
        frames = []
        for index, (gain, offset) in enumerate(zip(gains, offsets, strict=True)):
            luma = picture(HEIGHT, WIDTH, seed) * 0.7 + 30
            if change is not None:
                luma = change(index, luma)
            black = 0.0 if layout == "gray" else BLACK
            luma = (luma - black) * gain + black + offset + generator.normal(0, noise, luma.shape)
            size = (HEIGHT // 2, WIDTH // 2)
            planes = (luma,) if layout == "gray" else (luma, np.full(size, 110.0), np.full(size, 150.0))
            frames.append(working(WIDTH, HEIGHT, layout, planes=planes, index=index).quantise())
        return frames

    return make


def run(frames, workers: int = 1, **values):
    return list(Pipeline([catalogue.build("deflicker", values)]).run(iter(frames), workers=workers))


def brightness(frames, where=np.s_[:, :]) -> np.ndarray:
    return np.array([frame.to_working().luma[where].mean() for frame in frames])


GAINS = np.random.default_rng(1).normal(1.0, 0.04, 40)
OFFSETS = np.random.default_rng(2).normal(0.0, 2.0, 40)


@pytest.mark.parametrize("layout", ["gray", "yuv420p"])
def test_a_known_flicker_is_removed(layout, lit):
    frames = lit(GAINS, OFFSETS, layout=layout)
    made = [output.frame for output in run(frames)]
    before, after = (np.abs(np.diff(brightness(clip))).mean() for clip in (frames, made))
    assert before > 3.5 and after < 0.08 * before
    # Contrast too, not the mean alone.
    spread = [np.std([frame.to_working().luma.std() for frame in clip]) for clip in (frames, made)]
    assert spread[1] < 0.25 * spread[0]


def test_gain_and_offset_on_the_record_are_what_was_applied_and_undo_what_was_put_in(lit):
    outputs = run(lit(GAINS, OFFSETS), radius=20, smoothing=20.0)
    notes = [output.notes[0] for output in outputs]
    for output, note in zip(outputs, notes, strict=True):
        source = output.source.to_working().luma
        by_hand = np.clip(np.rint(source * np.float32(note["gain"]) + np.float32(note["offset"])), 0, 255)
        assert np.abs(by_hand - output.frame.planes[0]).max() <= 1 and np.mean(by_hand == output.frame.planes[0]) > 0.99
    restored = np.array([note["gain"] for note in notes]) * GAINS
    assert np.std(restored) < 0.01 < np.std(GAINS)
    canonical_json(notes)


@pytest.mark.parametrize("model", ["gain", "offset"])
def test_a_model_changes_nothing_else(model, lit):
    notes = [output.notes[0] for output in run(lit(GAINS, OFFSETS), model=model)]
    fixed = {"gain": ("offset", 0.0), "offset": ("gain", 1.0)}[model]
    assert all(note[fixed[0]] == fixed[1] for note in notes)
    assert any(note[model] != {"gain": 1.0, "offset": 0.0}[model] for note in notes)


def test_colour_is_left_bit_for_bit(lit):
    for output in run(lit(GAINS[:9], OFFSETS[:9], layout="yuv420p")):
        assert all(np.array_equal(a, b) for a, b in zip(output.frame.planes[1:], output.source.planes[1:], strict=True))


def test_a_moving_object_does_not_pull(lit):
    def lorry(index: int, luma: np.ndarray) -> np.ndarray:
        made = luma.copy()
        made[20:76, (7 * index) % 90 : (7 * index) % 90 + 38] = 190
        return made

    plain = run(lit(GAINS, OFFSETS))
    passing = run(lit(GAINS, OFFSETS, change=lorry))
    outside = np.s_[82:, :]
    made = [[output.frame for output in clip] for clip in (plain, passing)]
    steps = [np.abs(np.diff(brightness(clip, outside))).mean() for clip in made]
    raw = np.abs(np.diff(brightness([output.source for output in passing], outside))).mean()
    assert steps[1] < 0.12 * raw and steps[1] < steps[0] + 0.25


def test_without_flicker_nothing_is_done_that_can_be_seen(lit):
    for output in run(lit(np.ones(10), np.zeros(10))):
        note = output.notes[0]
        assert abs(note["gain"] - 1) < 0.004 and abs(note["offset"]) < 0.4
        assert np.abs(output.frame.planes[0].astype(int) - output.source.planes[0]).max() <= 1


def test_a_change_of_scene_does_not_pull(lit, picture):
    def cut(index: int, luma: np.ndarray) -> np.ndarray:
        return luma if index < 8 else 230 - 0.8 * picture(HEIGHT, WIDTH, 40)

    frames = lit(GAINS[:16], OFFSETS[:16], change=cut)
    outputs = run(frames)
    assert {row["why"] for row in outputs[7].notes[0]["not_compared_with"]} == {"does not match"}
    assert [row["frame"] for row in outputs[7].notes[0]["not_compared_with"]] == list(range(8, 16))
    alone = run(frames[:8])
    assert [output.frame.sha256 for output in outputs[:8]] == [output.frame.sha256 for output in alone]


def test_light_that_is_switched_on_is_kept(lit):
    frames = lit(np.ones(16), np.where(np.arange(16) < 8, 0.0, 35.0))
    outputs = run(frames)
    steps = np.diff(brightness([output.frame for output in outputs]))
    assert steps[7] == pytest.approx(35, abs=0.5) and np.abs(np.delete(steps, 7)).max() < 0.5
    assert {row["why"] for row in outputs[7].notes[0]["not_compared_with"]} == {"light changed"}


def test_what_goes_beyond_the_range_is_counted(lit):
    def lamp(index: int, luma: np.ndarray) -> np.ndarray:
        made = luma.copy()
        made[:10, :20] = 250.0 / gains[index]  # it does not flicker with the rest
        return made

    gains = np.array([1.0, 1.0, 0.94, 1.0, 1.0])
    outputs = run(lit(gains, np.zeros(5), change=lamp, noise=0.5), radius=2)
    counted = outputs[2].notes[0]["clipped"]
    source, note = outputs[2].source.to_working().luma, outputs[2].notes[0]
    made = source * np.float32(note["gain"]) + np.float32(note["offset"])
    assert note["gain"] > 1.02 and counted == {"dark": int((made < 0).sum()), "bright": int((made > 255).sum())}
    assert counted["bright"] > 100, "the lamp was at 250 before"


@pytest.mark.parametrize("workers", [2, 4])
def test_the_same_bytes_for_any_number_of_workers(workers, lit):
    frames = lit(GAINS[:14], OFFSETS[:14], layout="yuv420p")
    whole = [(output.frame.sha256, output.notes) for output in run(frames, radius=4)]
    assert [(output.frame.sha256, output.notes) for output in run(frames, workers, radius=4)] == whole
    pipeline = Pipeline([catalogue.build("deflicker", {"radius": 4})])
    kept = pipeline.run(iter(frames), workers=workers, keep=(6, 9))
    assert [(output.frame.sha256, output.notes) for output in kept] == whole[6:9]


def test_the_reference_picture_is_lit_to_the_bit_as_the_enhanced_one(lit):
    stages = [catalogue.build("nlmeans", {"search_radius": 1}), catalogue.build("deflicker", {"radius": 3})]
    pipeline, alone = Pipeline(stages), Pipeline(stages[1:])
    frames = lit(GAINS[:7], OFFSETS[:7])
    for output in alone.run(iter(frames), workers=1):
        picture = alone.reference_picture(output.source.to_working(), output.notes)
        assert picture.quantise().sha256 == output.frame.sha256 and picture.stage_class.label == "presentation"
    for output in pipeline.run(iter(frames), workers=1):
        picture = pipeline.reference_picture(output.source.to_working(), output.notes)
        assert abs(picture.luma.mean() - output.frame.to_working().luma.mean()) < 0.5
        assert pipeline.shows_recording(output.source.to_working(), output.notes).all()


def test_a_flat_picture_and_a_black_one_are_carried(working):
    for level in (0.0, 90.0, 255.0):
        frames = [working(40, 32, "gray", planes=(np.full((32, 40), level),), index=index) for index in range(3)]
        made, note = catalogue.build("deflicker", {}).process_noted(frames, 1)
        assert np.array_equal(made.planes[0], frames[1].planes[0]) and note["gain"] == 1.0
