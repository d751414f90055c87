"""Learned enlargement from a sequence: which frames are looked at, and that nothing else shows in the bytes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from forensic.errors import BadInput, ForensicError, UsageError
from forensic.frames.frame import CodedFrame, WorkingFrame
from forensic.frames.stageclass import StageClass
from forensic.stages import catalogue
from forensic.stages.pipeline import Pipeline
from forensic.stages.shots import continuous, likeness
from tests.registry.sequence_models import ID, write_model

QUICK = {"model": ID, "overlap": 8}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("models"))


def stage(models: Path, **values: Any) -> Any:
    return catalogue.build("learned-sequence", QUICK | values, models_dir=models)


@pytest.fixture
def frames(working: Any, picture: Any) -> Callable[..., list[WorkingFrame]]:
    """A panning scene in gray; ``cut`` is the first frame of another scene."""

    def make(count: int, cut: int = 1000, first: int = 0) -> list[WorkingFrame]:
        scenes = picture(40, 80, 1), picture(40, 80, 9)
        made = []
        for place in range(count):
            plane = scenes[place >= cut][:, place : place + 48]
            made.append(working(48, 40, "gray", planes=(plane,), index=first + place))
        return made

    return make


def test_it_is_a_learned_stage_of_fidelity_class_that_looks_at_neighbours(models: Path) -> None:
    built = stage(models)
    assert built.learned and built.effective_class is StageClass.FIDELITY and not built.in_reference_chain
    assert built.radius == 5 and built.scale == 4.0 and built.with_scale(4) is built
    record = built.record()
    assert record["model"]["id"] == ID and record["parameters"]["frames"]["default"] is True
    with pytest.raises(UsageError, match=r"recipe\.scale"):
        built.with_scale(2)


def test_a_generative_card_makes_the_frames_generative(tmp_path: Path, frames: Any) -> None:
    built = stage(write_model(tmp_path, class_line='class = "generative"'), frames=1)
    assert built.process(frames(3), 1).stage_class is StageClass.GENERATIVE


def test_every_neighbour_counts_and_the_note_says_which_were_looked_at(models: Path, frames: Any) -> None:
    built, window = stage(models, frames=2), frames(5, first=7)
    made, note = built.process_noted(window, 2)
    told = note["sequence"]
    assert told["frames"] == [7, 8, 9, 10, 11] and told["left_out"] == []
    assert told["missing"] == {"before": 0, "after": 0} and min(told["likeness"]) > 0.8
    for place in range(5):
        changed = list(window)
        plane = window[place].luma.copy()
        plane[8:32, 8:40] += 20
        changed[place] = WorkingFrame(
            (plane,), window[place].geometry, window[place].colour, window[place].timing, window[place].stage_class
        )
        assert built.process(changed, 2).luma.tobytes() != made.luma.tobytes(), place


def test_the_ends_of_a_clip_have_fewer_frames_and_say_so(models: Path, frames: Any) -> None:
    built = stage(models, frames=2)
    window = frames(3)
    told = built.process_noted(window, 0)[1]["sequence"]
    assert told["frames"] == [0, 1, 2] and told["missing"] == {"before": 2, "after": 0}
    told = built.process_noted(window[:1], 0)[1]["sequence"]
    assert told["frames"] == [0] and told["missing"] == {"before": 2, "after": 2} and told["likeness"] == []


@pytest.mark.parametrize(("at", "kept"), [(1, [0, 1, 2]), (2, [0, 1, 2]), (3, [3, 4]), (4, [3, 4])])
def test_frames_beyond_a_cut_cannot_show(models: Path, frames: Any, at: int, kept: list[int]) -> None:
    built, window = stage(models, frames=4), frames(5, cut=3)
    made, note = built.process_noted(window, at)
    told = note["sequence"]
    assert told["frames"] == kept and told["left_out"] == [place for place in range(5) if place not in kept]
    alone = built.process([window[place] for place in kept], kept.index(at))
    assert made.luma.tobytes() == alone.luma.tobytes()
    anyway = stage(models, frames=4, least_likeness=-1.0).process_noted(window, at)
    assert anyway[1]["sequence"]["left_out"] == [] and anyway[0].luma.tobytes() != made.luma.tobytes()


def test_any_number_of_workers_gives_the_same_bytes_and_so_does_a_part_of_the_clip(models: Path, clip: Any) -> None:
    pipeline, source = Pipeline([stage(models, frames=2, tile=32)]), clip(6, 48, 40)
    runs = [[output.frame.sha256 for output in pipeline.run(iter(source), workers=workers)] for workers in (1, 3)]
    assert runs[0] == runs[1] and len(set(runs[0])) == 6
    part = [output.frame.sha256 for output in pipeline.run(iter(source), workers=2, keep=(3, 5))]
    assert part == runs[0][3:5]


@pytest.mark.parametrize("layout", ["gray", "rgb24", "yuv420p", "yuv422p10le"])
def test_every_layout_is_enlarged_with_colour_as_the_plain_resize_has_it(
    layout: str, models: Path, working: Any
) -> None:
    window = [working(40, 24, layout, index=index) for index in range(3)]
    made = stage(models, frames=1).process(window, 1)
    assert (made.geometry.width, made.geometry.height) == (160, 96)
    if layout.startswith("yuv"):
        plain = catalogue.build("resize", {"scale": 4.0}).process([window[1]], 0)
        assert all(np.array_equal(a, b) for a, b in zip(made.planes[1:], plain.planes[1:], strict=True))


def test_consistency_goes_with_it(models: Path, frames: Any) -> None:
    note = stage(models, frames=1, consistency=1.0, deadband=0.0).process_noted(frames(3), 1)[1]
    assert note["consistency"]["rms_after"] < note["consistency"]["rms_before"] and "sequence" in note


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"model": "light-x4"}, "model.not-for-sequences"),
        ({"model": "multi-x4"}, "model.not-for-sequences"),
        ({"model": "no-such-model"}, "model.card-missing"),
        ({"model": "basicvsr-x4", "overlap": 31}, "stage.parameters"),
        ({"model": "basicvsr-x4", "frames": 16}, "stage.parameters"),
        ({"model": "basicvsr-x4", "least_likeness": 1.5}, "stage.parameters"),
    ],
)
def test_what_does_not_fit_is_refused(values: dict[str, Any], code: str) -> None:
    with pytest.raises(ForensicError) as caught:
        catalogue.build("learned-sequence", values)
    assert caught.value.code == code


def test_a_model_for_sequences_is_not_run_on_single_frames() -> None:
    with pytest.raises(BadInput) as caught:
        catalogue.build("learned-upscale", {"model": "basicvsr-x4", "overlap": 32})
    assert caught.value.code == "model.not-for-single-frames" and "learned-sequence" in caught.value.remedy


def test_likeness_sees_the_scene_and_neither_light_nor_noise_nor_small_moves(picture: Any) -> None:
    first, other = picture(120, 160, 1), picture(120, 160, 5)
    noise = np.random.default_rng(3).normal(0, 12, first.shape).astype(np.float32)
    assert likeness(first, first) == pytest.approx(1.0)
    assert likeness(first, np.float32(0.4) * first + 60) == pytest.approx(1.0)
    assert likeness(first, first + noise) > 0.98 and likeness(first[:, 4:], first[:, :-4]) > 0.9
    assert likeness(first, 255 - first) < -0.9 and likeness(first, other) < 0.6
    flat = np.full_like(first, 90)
    assert likeness(first, flat) == likeness(flat, flat) == 0.0
    assert likeness(first[:3, :5], first[:3, :5]) in (0.0, pytest.approx(1.0))


def test_a_shot_ends_at_its_first_cut_even_if_the_picture_comes_back(picture: Any) -> None:
    one, two = picture(48, 64, 1), picture(48, 64, 9)
    first, last, alike = continuous([one, one, two, one, one], 3, 0.6)
    assert (first, last) == (3, 4) and [value > 0.6 for value in alike] == [True, False, False, True]
    assert continuous([one], 0, 0.6) == (0, 0, ())


def test_frames_of_a_still_clip_are_all_used(models: Path, clip: Callable[..., list[CodedFrame]]) -> None:
    window = [frame.to_working() for frame in clip(5, 64, 48)]
    assert stage(models, frames=2).process_noted(window, 2)[1]["sequence"]["left_out"] == []
