"""Stabilisation: known shaking is found and taken out, nothing is filled in, nothing else decides."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest

from forensic.errors import BadInput, InternalError
from forensic.frames.frame import CodedFrame
from forensic.hashes import canonical_json
from forensic.stages import camera, catalogue, mesh
from forensic.stages.camera import Similarity, motion, view
from forensic.stages.camera_path import path_against
from forensic.stages.kernels import KERNELS
from forensic.stages.pipeline import Pipeline
from forensic.stages.resampling import AxisMap, resample
from forensic.stages.validity import common_rectangle
from forensic.stages.warping import neutral_values
from forensic.validation import temporal

HEIGHT, WIDTH = 96, 128


def texture(height: int = HEIGHT, width: int = WIDTH, seed: int = 3, detail: float = 1.6) -> np.ndarray:
    """Periodic texture without detail too fine for the grid: a Fourier shift of it is exact."""
    noise = np.fft.fft2(np.random.default_rng(seed).normal(0, 1, (height, width)))
    v, u = np.meshgrid(np.fft.fftfreq(height), np.fft.fftfreq(width), indexing="ij")
    made = np.fft.ifft2(noise * np.exp(-2 * np.pi**2 * detail**2 * (u * u + v * v))).real
    return (120 + 25 * made / made.std()).astype(np.float32)


def shifted(picture: np.ndarray, dx: float, dy: float) -> np.ndarray:
    v, u = np.meshgrid(np.fft.fftfreq(picture.shape[0]), np.fft.fftfreq(picture.shape[1]), indexing="ij")
    return np.fft.ifft2(np.fft.fft2(picture) * np.exp(-2j * np.pi * (u * dx + v * dy))).real.astype(np.float32)


@pytest.fixture
def shaken(working) -> Callable[..., list[CodedFrame]]:
    """Frames of a still scene whose content is displaced by ``path``, with noise."""

    def make(path: np.ndarray, noise: float = 1.5, layout: str = "yuv420p", change=None) -> list[CodedFrame]:
        generator, ground = np.random.default_rng(11), texture()
        frames = []
        for index, (dx, dy) in enumerate(path):
            luma = shifted(ground, dx, dy)
            if change is not None:
                luma = change(index, luma)
            luma = luma + generator.normal(0, noise, luma.shape)
            size = (HEIGHT // 2, WIDTH // 2)
            colour = shifted(texture(*size, seed=5), dx / 2, dy / 2)
            planes = (luma,) if layout == "gray" else (luma, colour, np.full(size, 140.0))
            frames.append(working(WIDTH, HEIGHT, layout, planes=planes, index=index).quantise())
        return frames

    return make


def moves(outputs) -> np.ndarray:
    return np.array([[output.notes[0]["move"][key] for key in ("dx", "dy")] for output in outputs])


def run(frames, workers: int = 1, **values):
    pipeline = Pipeline([catalogue.build("stabilise", values)])
    return pipeline, list(pipeline.run(iter(frames), workers=workers))


PATH = np.random.default_rng(4).normal(0, 1.5, (40, 2))


def test_a_motion_between_two_frames_is_found_to_a_fiftieth_of_a_pixel(picture):
    ground, generator = texture(144, 176), np.random.default_rng(0)
    for dx, dy in ((0.25, -0.25), (1.7, 0.3), (-6.1, 3.8), (30.4, -12.6)):
        other = shifted(ground, dx, dy) + generator.normal(0, 2, ground.shape).astype(np.float32)
        found = motion(view(ground), view(other.astype(np.float32)), "translation")
        assert found is not None and abs(found.shift - complex(dx, dy)) < 0.02
    first, second = (view(picture(144, 176) + generator.normal(0, 3, (144, 176)).astype(np.float32)) for _ in range(2))
    still = motion(first, second, "translation")
    assert still is not None and abs(still.shift) < 0.05


def test_a_turn_and_a_zoom_are_found(working):
    """The second picture is drawn from the formula of the first, not interpolated from it."""
    y, x = np.mgrid[:150, :200].astype(np.float64)
    x, y = x - 99.5, y - 74.5

    def drawn(z: np.ndarray) -> np.ndarray:
        u, v = z.real, z.imag
        return (120 + 30 * np.sin(u / 5 + 0.3 * np.cos(v / 9)) * np.cos(v / 6) + 25 * np.sin((u + 2 * v) / 17)).astype(
            np.float32
        )

    true = Similarity.of_logarithm(1.3, -0.8, np.log(1.01), np.radians(0.7))
    back = true.inverse()
    first, second = drawn(x + 1j * y), drawn(back.turn * (x + 1j * y) + back.shift)
    found = motion(view(first), view(second), "similarity")
    assert found is not None
    assert max(abs(np.subtract(found.logarithm, true.logarithm)) * (1, 1, 125, 125)) < 0.03
    both = found.after(true.inverse())
    assert abs(both.turn - 1) < 1e-3 and both.farthest(200, 150) < 0.06


def test_known_shaking_is_taken_out(shaken):
    before = temporal.jitter(PATH)
    pipeline, outputs = run(shaken(PATH))
    shown = [pipeline.shows_recording(output.source.to_working(), output.notes) for output in outputs]
    lumas = [output.frame.to_working().luma for output in outputs]
    after = temporal.residual_jitter(texture(), lumas, shown)
    assert temporal.reduction(before.step, after.step) > 0.95
    assert temporal.reduction(before.place, after.place) > 0.65
    smooth = temporal.jitter(PATH + moves(outputs))
    assert smooth.step == pytest.approx(after.step, abs=0.03), "the record tells what was done"


def test_a_longer_window_takes_out_more(shaken):
    frames = shaken(PATH)
    left = [temporal.jitter(PATH + moves(run(frames, radius=radius, smoothing=radius / 3)[1])) for radius in (3, 9, 30)]
    assert left[0].step > left[1].step > left[2].step and left[0].place > left[1].place > left[2].place


def locked(frames: list[CodedFrame], reference: int, **values):
    """Frames held to one of them, by a path measured before."""
    lumas = [(frame.timing.index, frame.to_working().luma) for frame in frames]
    path = path_against(reference, lumas[reference][1], lumas, values.get("model", "translation"))
    return path, run(frames, **path.to_parameters(), **values)


def test_a_clip_locked_to_a_frame_stands_still_for_as_long_as_it_lasts(shaken):
    for reference in (0, 17):
        path, (pipeline, outputs) = locked(shaken(PATH), reference)
        assert pipeline.radius == 0 and not path.lost and len(path.places) == len(PATH)
        found = np.array([place[1:3] for place in path.places])
        assert np.abs(found - (PATH - PATH[reference])).max() < 0.06
        left = PATH + moves(outputs)
        before, after = temporal.jitter(PATH), temporal.jitter(left)
        assert temporal.reduction(before.step, after.step) > 0.97
        assert temporal.reduction(before.place, after.place) > 0.97, "wandering of place, not only from frame to frame"
        assert outputs[reference].frame.sha256 == outputs[reference].source.sha256, "the reference is left alone"


def test_a_slow_drift_does_not_add_up_when_locked(shaken):
    drift = np.cumsum(np.random.default_rng(9).normal(0, 0.3, (60, 2)), axis=0)
    _, (_, outputs) = locked(shaken(drift), 0)
    assert np.abs(drift - drift[0] + moves(outputs)).max() < 0.08


def test_a_frame_that_cannot_be_placed_is_passed_on_and_said(shaken):
    other = texture(seed=77)
    frames = shaken(PATH[:6], change=lambda index, luma: other if index == 3 else luma)
    path, (_, outputs) = locked(frames, 0)
    assert path.lost == (3,) and outputs[3].notes[0]["not_followed"] == [3]
    assert outputs[3].frame.sha256 == frames[3].sha256
    assert "not_followed" not in outputs[4].notes[0]


def test_a_reference_without_a_measured_path_is_refused(shaken):
    with pytest.raises(BadInput) as refusal:
        run(shaken(PATH[:3]), reference=0)
    assert refusal.value.code == "stage.stabilise"
    for wrong in ({"path": [[0, 0, 0, 0, 0]]}, {"reference": 0, "model": "mesh"},
                  {"reference": 0, "path": [[1, 0, 0, 0, 0], [0, 0, 0, 0, 0]]}):  # fmt: skip
        with pytest.raises(BadInput):
            catalogue.build("stabilise", wrong)


def test_a_pan_is_followed_from_the_first_frame_to_the_last(shaken):
    pan = np.arange(40)[:, None] * np.array([[1.5, -0.5]])
    _, outputs = run(shaken(pan))
    assert np.abs(moves(outputs)).max() < 0.1


def test_no_border_is_synthesised(shaken):
    """What is shown is the recording, interpolated, or exactly neutral grey, by an independent resampling."""
    frames = shaken(PATH)
    pipeline, outputs = run(frames, radius=8, smoothing=3.0)
    seen_grey = False
    for output in outputs:
        note, made = output.notes[0], output.frame
        dx, dy = note["move"]["dx"], note["move"]["dy"]
        x, y = np.arange(WIDTH) - dx, np.arange(HEIGHT) - dy
        inside = ((y >= 0) & (y <= HEIGHT - 1))[:, None] & ((x >= 0) & (x <= WIDTH - 1))
        assert (made.planes[0][~inside] == 126).all(), "125.5, rounded"
        assert np.array_equal(inside, pipeline.shows_recording(output.source.to_working(), output.notes))
        assert note["outside"]["share"] == pytest.approx(1 - inside.mean(), abs=1e-6)
        left, top, width, height = note["outside"]["recorded"]
        assert inside[top : top + height, left : left + width].all() and width * height == inside.sum()
        source = output.source.to_working().planes[0]
        rows = AxisMap(HEIGHT, offset=Fraction(-dy))
        columns = AxisMap(WIDTH, offset=Fraction(-dx))
        expected = resample(source, rows, columns, KERNELS["lanczos"])
        assert np.abs(made.to_working().planes[0] - expected)[inside].max() <= 0.5 + 1e-3
        colour_y = 0.5 + 2 * np.arange(HEIGHT // 2) - dy
        beyond = (colour_y < 0) | (colour_y > HEIGHT - 1)
        assert (made.planes[1][beyond] == 128).all() and (made.planes[2][beyond] == 128).all()
        seen_grey = seen_grey or not inside.all()
    assert seen_grey


def test_what_is_not_recorded_is_filled_as_every_warping_stage_fills_it(working):
    ground = texture()
    for layout in ("gray", "rgb24", "yuv444p"):
        frames = [
            working(WIDTH, HEIGHT, layout, planes=(shifted(ground, *place),) * (1 if layout == "gray" else 3), index=i)
            for i, place in enumerate(PATH[:7])
        ]
        made, note = catalogue.build("stabilise", {"radius": 3, "smoothing": 2.0}).process_noted(frames[:7], 3)
        left, top, width, height = note["outside"]["recorded"]
        outside = np.ones((HEIGHT, WIDTH), bool)
        outside[top : top + height, left : left + width] = False
        fills = neutral_values(frames[3])
        assert outside.any() and list(fills) == note["outside"]["value"]
        assert all((plane[outside] == fill).all() for plane, fill in zip(made.planes, fills, strict=True))


def test_the_rectangle_recorded_in_every_frame_is_that_of_all_notes(shaken):
    pipeline, outputs = run(shaken(PATH[:12]), radius=4, smoothing=2.0)
    x, y, width, height = common_rectangle([output.notes[0] for output in outputs])
    everywhere = np.logical_and.reduce(
        [pipeline.shows_recording(output.source.to_working(), output.notes) for output in outputs]
    )
    assert everywhere[y : y + height, x : x + width].all() and everywhere.sum() == width * height
    assert common_rectangle([]) is None


def test_a_still_camera_is_left_alone_to_the_bit(shaken):
    frames = shaken(np.zeros((9, 2)), noise=0.0)
    _, outputs = run(frames, radius=4, smoothing=2.0)
    assert [output.frame.sha256 for output in outputs] == [frame.sha256 for frame in frames]
    assert all(output.notes[0]["outside"]["share"] == 0 for output in outputs)


def test_a_change_of_scene_ends_the_path_on_both_sides(shaken):
    other = texture(seed=77)

    def cut(index: int, luma: np.ndarray) -> np.ndarray:
        return luma if index < 8 else shifted(other, *PATH[index] + 9)

    _, outputs = run(shaken(PATH[:16], change=cut), radius=6, smoothing=3.0)
    for output in outputs:
        index, note = output.frame.timing.index, output.notes[0]
        first, last = note["frames"]
        assert (last <= 7) if index < 8 else (first >= 8)
        assert note.get("not_followed", []) == ([8] if 2 <= index < 8 else [7] if 8 <= index < 14 else [])
    whole = run(shaken(PATH[:16], change=cut)[:8], radius=6, smoothing=3.0)[1]
    assert np.array_equal(moves(outputs)[:8], moves(whole)), "the other scene has no say"


def test_a_moving_object_does_not_pull(shaken):
    def car(index: int, luma: np.ndarray) -> np.ndarray:
        made = luma.copy()
        left = 4 * index
        made[30:70, left : left + 44] = texture(40, 44, seed=8, detail=1.2)[:, : max(0, min(44, WIDTH - left))] + 50
        return made

    still = np.zeros((20, 2))
    _, outputs = run(shaken(still, change=car))
    assert np.abs(moves(outputs)).max() < 0.08


def test_a_flicker_of_the_lamp_does_not_pull(shaken):
    gains = np.random.default_rng(2).normal(1, 0.1, 12)
    _, outputs = run(shaken(np.zeros((12, 2)), change=lambda index, luma: luma * gains[index] + 5 * (-1) ** index))
    assert np.abs(moves(outputs)).max() < 0.05


def test_a_strong_moving_object_on_faint_ground_is_not_taken_for_the_camera(working):
    """A white car on asphalt has nearly all the contrast; the faint ground has most of the area."""
    ground, generator = texture() / 25 * 3 + 90, np.random.default_rng(0)
    frames = []
    for index in range(10):
        luma = ground.copy()
        luma[4 * index + 5 : 4 * index + 55, 40:75] = 60 + texture(50, 35, seed=8, detail=1.2)
        luma += generator.normal(0, 0.5, luma.shape).astype(np.float32)
        frames.append(working(WIDTH, HEIGHT, "gray", planes=(luma,), index=index))
    stage = catalogue.build("stabilise", {"radius": 5, "smoothing": 3.0})
    for at in (4, 5):
        _, note = stage.process_noted(frames[max(0, at - 5) : at + 6], min(at, 5))
        assert np.hypot(note["move"]["dx"], note["move"]["dy"]) < 0.1


def test_no_corner_moves_further_than_allowed_and_the_note_says_so(shaken):
    _, outputs = run(shaken(PATH), largest_shift=0.5)
    far = np.hypot(*moves(outputs).T)
    assert far.max() <= 0.5 + 1 / 128
    assert [output.notes[0]["limited"] for output in outputs].count(True) > 20
    assert all(output.notes[0]["limited"] or distance < 0.51 for output, distance in zip(outputs, far, strict=True))


@pytest.mark.parametrize("model", ["translation", "similarity", "mesh"])
def test_the_same_bytes_for_any_number_of_workers_and_any_selection(model, shaken):
    frames = shaken(PATH[:14])
    stage = catalogue.build("stabilise", {"radius": 4, "smoothing": 2.0, "model": model})
    pipeline = Pipeline([stage, catalogue.build("unsharp", {})])
    whole = [(output.frame.sha256, output.notes) for output in pipeline.run(iter(frames), workers=1)]
    again = [(output.frame.sha256, output.notes) for output in pipeline.run(iter(frames), workers=4)]
    part = [(output.frame.sha256, output.notes) for output in pipeline.run(iter(frames), workers=3, keep=(5, 9))]
    assert again == whole and part == whole[5:9]
    canonical_json([notes[0] for _, notes in whole])


def test_what_is_remembered_of_other_clips_cannot_show(shaken):
    frames = shaken(PATH[:6])
    for model in ("translation", "mesh"):
        first = [output.frame.sha256 for output in run(frames, model=model)[1]]
        camera._known.clear()
        mesh._known.clear()
        assert [output.frame.sha256 for output in run(frames, model=model)[1]] == first


@pytest.mark.parametrize("model", ["translation", "similarity", "mesh"])
def test_the_reference_picture_is_moved_to_the_bit_as_the_enhanced_one(model, shaken):
    """After denoising the motion found differs a little from that of the raw frames: the note decides."""
    stabilise = catalogue.build("stabilise", {"radius": 3, "smoothing": 2.0, "model": model})
    alone = Pipeline([stabilise])
    after = Pipeline([catalogue.build("nlmeans", {"luma_noise": 6.0, "strength": 1.0, "search_radius": 2}), stabilise])
    frames = shaken(PATH[:7], noise=4.0)
    for output in after.run(iter(frames), workers=1):
        picture = after.reference_picture(output.source.to_working(), output.notes)
        assert picture.stage_class.label == "geometric"
        by_hand = stabilise.repeat(output.source.to_working(), output.notes[0])
        assert all(np.array_equal(a, b) for a, b in zip(picture.planes, by_hand.planes, strict=True))
        enhanced = output.frame.to_working().luma
        assert np.abs(enhanced - picture.luma).mean() < 6, "no doubled edges from a wrong place"
    for output in alone.run(iter(frames), workers=1):
        picture = alone.reference_picture(output.source.to_working(), output.notes)
        assert picture.quantise().sha256 == output.frame.sha256


def test_what_shows_no_recording_stays_known_through_later_stages(shaken):
    pipeline = Pipeline(
        [
            catalogue.build("stabilise", {"radius": 4, "smoothing": 2.0}),
            catalogue.build("crop", {"x": 0, "y": 0, "width": 60, "height": 50}),
            catalogue.build("rotate-flip", {"rotate": 90}),
            catalogue.build("resize", {"scale": 2.0}),
        ]
    )
    output = list(pipeline.run(iter(shaken(PATH[:9])), workers=1))[4]
    shown = pipeline.shows_recording(output.source.to_working(), output.notes)
    picture = pipeline.reference_picture(output.source.to_working(), output.notes)
    assert shown.shape == (60, 50) and not shown.all()
    assert np.array_equal(shown, picture.luma != 125.5)


def test_a_stage_with_a_window_and_no_way_to_repeat_it_is_an_internal_error(working):
    with pytest.raises(InternalError) as failure:
        catalogue.build("temporal-average", {}).repeat(working(), {})
    assert failure.value.code == "stage.repeat"


@pytest.mark.parametrize("values", [{"radius": 0}, {"radius": 61}, {"smoothing": 0.1}, {"model": "homography"}])
def test_values_outside_the_range_are_refused(values):
    with pytest.raises(BadInput):
        catalogue.build("stabilise", values)
