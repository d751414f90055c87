"""The pipeline: same bytes for any number of workers, context, order, taint, clean stops."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forensic.errors import BadInput, InternalError, UsageError
from forensic.frames.frame import Planes, WorkingFrame
from forensic.frames.stageclass import StageClass
from forensic.media.opencv import opencv
from forensic.stages import catalogue
from forensic.stages.parameters import NoParameters
from forensic.stages.pipeline import Pipeline
from forensic.stages.stage import Stage, StageCard

CARD = StageCard("Test.", (), ())
SMALL_STAGES = [
    ("levels", {"gamma": 1.2}),
    ("temporal-average", {"frames": 1}),
    ("temporal-average", {"frames": 2, "registration": "none", "noise": 6.0}),
    ("nlmeans", {"search_radius": 1}),
    ("deflicker", {"radius": 2}),
    ("unsharp", {}),
    ("rotate-flip", {"rotate": 90}),
    ("clahe", {"rows": 2, "columns": 2}),
    ("white-balance", {"method": "gray-world"}),
    ("perspective", {"corners": [[1, 1], [20, 2], [21, 15], [2, 17]], "width": 30, "height": 20}),
    ("undistort", {"centre": [15.5, 11.5], "focal": [20.0, 20.0], "k1": -0.1}),
    ("selective-colour", {"hue": 10.0}),
    ("annotate", {"marks": [{"kind": "arrow", "at": [2, 2], "to": [12, 9]}]}),
    ("local-contrast", {"radius": 3}),
    ("follow", {"points": [[0, 10.0, 8.0], [7, 14.0, 9.0]], "width": 24, "height": 18}),
    ("deinterlace", {"field_order": "top"}),
]


def digests(pipeline: Pipeline, frames, **options) -> list[tuple[int, str, str]]:
    return [
        (output.frame.timing.index, output.frame.sha256, output.source.sha256)
        for output in pipeline.run(iter(frames), **options)
    ]


@settings(max_examples=12)
@given(
    chosen=st.lists(st.sampled_from(SMALL_STAGES), min_size=0, max_size=4),
    enlarge=st.booleans(),
    workers=st.integers(2, 5),
    first=st.integers(0, 8),
    length=st.integers(1, 9),
)
def test_bytes_depend_neither_on_workers_nor_on_the_selection(chosen, enlarge, workers, first, length, clip):
    # Deinterlacing after a turn is refused (test_recipe.py), a lens behind what moves too (test_moving_window.py).
    first_of_all = ["deinterlace", "undistort"]
    ordered = sorted(chosen, key=lambda stage: first_of_all.index(stage[0]) if stage[0] in first_of_all else 2)
    stages = [catalogue.build(name, values) for name, values in ordered]
    if enlarge:
        stages.append(catalogue.build("resize", {"scale": 2.0}))
    pipeline, frames = Pipeline(stages), clip(9, 32, 24)
    whole = digests(pipeline, frames, workers=1)
    assert [index for index, _, _ in whole] == list(range(9))
    assert digests(pipeline, frames, workers=workers) == whole
    keep = (first, first + length)
    assert digests(pipeline, frames, workers=workers, keep=keep) == whole[first : first + length]


OPENCV_STAGES = [
    ("nlmeans", {"search_radius": 2}),
    ("unsharp", {}),
    ("resize", {"scale": 2.0}),
    ("resize", {"scale": 1.5}),
    ("wiener", {"psf": "defocus", "disc_radius": 3.0}),
    ("richardson-lucy", {"psf": "gaussian", "sigma": 1.5, "iterations": 3}),
    ("temporal-average", {"frames": 1}),
    ("stabilise", {"radius": 1, "smoothing": 1.0, "model": "similarity"}),
    ("deflicker", {"radius": 1}),
    ("clahe", {}),
    ("deblock", {"luma_strength": 36, "chroma_strength": 36}),
    ("rotate-flip", {"rotate": 90}),
    ("aspect", {"sample_aspect": "16:11"}),
    ("channel", {"channel": "R"}),
    ("perspective", {"corners": [[20, 10], [280, 30], [300, 200], [10, 220]], "width": 300, "height": 200}),
    ("undistort", {"centre": [159.5, 119.5], "focal": [200.0, 200.0], "k1": -0.2}),
    ("selective-colour", {"hue": 10.0}),
    ("annotate", {"marks": [{"kind": "arrow", "at": [20, 20], "to": [120, 90], "text": "Here"}]}),
    ("local-contrast", {}),
    ("follow", {"points": [[0, 150.0, 110.0], [2, 160.5, 112.0]], "width": 200, "height": 160, "placing": "lanczos"}),
    ("white-balance", {"method": "gray-world"}),
    ("deinterlace", {"field_order": "top"}),
]


@pytest.mark.parametrize(("name", "values"), OPENCV_STAGES)
def test_a_worker_thread_computes_the_same_bits_as_the_main_thread(name, values, clip):
    """At a size where OpenCV would choose IPP, whose switch holds for one thread only."""
    pipeline, frames = Pipeline([catalogue.build(name, values)]), clip(3, 320, 240)
    window = [frame.to_working() for frame in frames][:2]
    here = pipeline.process_window(window, 0)
    with ThreadPoolExecutor(1) as pool:
        there = pool.submit(pipeline.process_window, window, 0).result()
    assert all(a.tobytes() == b.tobytes() for a, b in zip(here.planes, there.planes, strict=True))
    assert digests(pipeline, frames, workers=1) == digests(pipeline, frames, workers=3)


def test_every_thread_that_asks_for_opencv_gets_it_without_ipp_and_opencl():
    def flags() -> tuple[bool, bool, int]:
        cv2 = opencv()
        return cv2.ipp.useIPP(), cv2.ocl.useOpenCL(), cv2.getNumThreads()

    with ThreadPoolExecutor(3) as pool:
        found = {future.result() for future in [pool.submit(flags) for _ in range(12)]}
    assert found | {flags()} == {(False, False, 1)}


def test_a_tapped_window_gives_the_same_bytes_in_one_call(clip):
    pipeline = Pipeline(
        [
            catalogue.build("temporal-average", {"frames": 2}),
            catalogue.build("resize", {"scale": 2.0}),
            catalogue.build("temporal-average", {"frames": 1}),
            catalogue.build("unsharp", {}),
        ]
    )
    frames, seen = clip(8), 0
    for output in pipeline.run(iter(frames), workers=3, keep=(1, 8), tap={1, 4, 7}):
        index = output.frame.timing.index
        assert (output.window is not None) == (index in {1, 4, 7})
        if output.window is not None:
            seen += 1
            assert output.window[output.at] is output.source is frames[index]
            made = pipeline.process_window([frame.to_working() for frame in output.window], output.at)
            assert made.quantise().sha256 == output.frame.sha256
    assert seen == 3


def test_windows_are_truncated_at_the_ends_of_the_clip_and_the_notes_say_so(clip):
    pipeline = Pipeline(
        [
            catalogue.build("crop", {"x": 0, "y": 0, "width": 32, "height": 32}),
            catalogue.build("temporal-average", {"frames": 2}),
        ]
    )
    outputs = list(pipeline.run(iter(clip(5)), workers=2))
    neighbours = [[row["frame"] for row in output.notes[0]["averaged"]] for output in outputs]
    assert neighbours == [[1, 2], [0, 2, 3], [0, 1, 3, 4], [1, 2, 4], [2, 3]]
    assert outputs[0].notes[0]["position"] == 2 and outputs[0].notes[0]["stage"] == "temporal-average"


def test_an_empty_chain_passes_frames_through_unchanged(clip):
    frames = clip(3)
    assert [frame.sha256 for frame in frames] == [digest for _, digest, _ in digests(Pipeline([]), frames, workers=2)]


def test_no_frames_make_no_frames():
    assert list(Pipeline([]).run(iter(()), workers=2)) == []


def test_one_generative_frame_taints_its_neighbours_in_a_window_stage(clip, generative):
    class InventAtThree(generative):  # type: ignore[misc, valid-type]
        """Generative pixels in the source at frame 3 only."""

    frames = [frame.to_working() for frame in clip(7)]
    frames[3] = InventAtThree(NoParameters()).process([frames[3]], 0)
    coded = [frame.quantise() for frame in frames]
    pipeline = Pipeline([catalogue.build("temporal-average", {"frames": 1}), catalogue.build("unsharp", {})])
    assert pipeline.effective_class is StageClass.FIDELITY
    classes = [output.frame.stage_class for output in pipeline.run(iter(coded), workers=2)]
    assert [kind is StageClass.GENERATIVE for kind in classes] == [False, False, True, True, True, False, False]


def test_a_generative_stage_in_the_chain_taints_every_frame_and_leaves_the_reference_chain(clip, generative):
    pipeline = Pipeline([generative(NoParameters()), catalogue.build("levels", {"gamma": 2.0})])
    assert pipeline.effective_class is StageClass.GENERATIVE
    assert all(output.frame.stage_class is StageClass.GENERATIVE for output in pipeline.run(iter(clip(3)), workers=2))
    assert [stage.name for stage in pipeline.reference().stages] == ["levels"]


class FailsAt(Stage[NoParameters]):
    name, title, card = "test-fails", "Test", CARD
    stage_class, parameter_model = StageClass.FIDELITY, NoParameters
    at = 5

    def _apply(self, window: Sequence[WorkingFrame], at: int) -> Planes:
        planes = [plane.copy() for plane in window[at].planes]
        if window[at].timing.index == self.at:
            planes[0][0, 0] = np.nan
        return tuple(planes)


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("windowed", [False, True])
def test_a_failure_comes_out_once_after_the_frames_before_it_and_stops_the_pool(workers, windowed, clip):
    stages: list[Stage[NoParameters]] = [FailsAt(NoParameters())]
    if windowed:
        stages.append(catalogue.build("temporal-average", {"frames": 1}))
    before, done = threading.active_count(), []
    with pytest.raises(InternalError) as failure:
        done.extend(o.frame.timing.index for o in Pipeline(stages).run(iter(clip(12)), workers=workers))
    assert failure.value.code == "frame.not-finite" and "Frame 5" in failure.value.message
    assert done == list(range(len(done))) and len(done) <= 5
    assert threading.active_count() == before


def test_leaving_early_stops_the_pool(clip):
    before = threading.active_count()
    outputs = Pipeline([catalogue.build("nlmeans", {})]).run(iter(clip(12)), workers=3)
    next(outputs)
    outputs.close()
    assert threading.active_count() == before


def test_an_interruption_while_frames_are_read_stops_the_pool(clip):
    def interrupted():
        yield from clip(4)
        raise KeyboardInterrupt

    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        list(Pipeline([catalogue.build("unsharp", {})]).run(interrupted(), workers=3))
    assert threading.active_count() == before


def test_reading_runs_ahead_of_the_consumer_by_a_bounded_number_of_frames(clip):
    """Memory is bounded by workers and context, whatever the length of the clip."""
    handed_out = 0
    lead = []

    def source():
        for frame in clip(60, 32, 24):
            lead.append(frame.timing.index - handed_out)
            yield frame

    pipeline = Pipeline(
        [catalogue.build("temporal-average", {"frames": 2, "registration": "none"}), catalogue.build("unsharp", {})]
    )
    for _ in pipeline.run(source(), workers=3):
        handed_out += 1
        time.sleep(0.001)
    assert handed_out == 60 and max(lead) <= 2 + 2 * 3 + 1


def test_reading_stops_when_no_more_context_is_needed(clip):
    read = []

    def source():
        for frame in clip(20, 32, 24):
            read.append(frame.timing.index)
            yield frame

    pipeline = Pipeline([catalogue.build("temporal-average", {"frames": 2})])
    assert [o.frame.timing.index for o in pipeline.run(source(), workers=2, keep=(4, 7))] == [4, 5, 6]
    assert read[-1] == 9, "frame 9 is the first that cannot matter"


def test_frames_out_of_order_are_refused(clip):
    frames = clip(4)
    with pytest.raises(InternalError) as failure:
        list(Pipeline([]).run([frames[0], frames[2]], workers=1))
    assert failure.value.code == "pipeline.order"


@pytest.mark.parametrize("options", [{"workers": 0}, {"workers": 1, "keep": (3, 3)}, {"workers": 1, "keep": (-1, 2)}])
def test_meaningless_requests_are_refused_at_once(options):
    with pytest.raises(UsageError):
        Pipeline([]).run(iter(()), **options)


@pytest.mark.parametrize(
    "late",
    [
        ("crop", {"x": 0, "y": 0, "width": 8, "height": 8}),
        ("deblock", {}),
        ("white-balance", {"method": "neutral-region", "region": [0, 0, 4, 4]}),
    ],
)
def test_a_stage_that_names_places_may_not_follow_a_change_of_size(late):
    resize = catalogue.build("resize", {"scale": 2.0})
    with pytest.raises(BadInput) as refusal:
        Pipeline([resize, catalogue.build(*late)])
    assert refusal.value.code == "recipe.order"
    Pipeline([catalogue.build(*late), resize])


def test_the_plan_states_geometry_and_scale_of_every_stage(working):
    pipeline = Pipeline([catalogue.build("rotate-flip", {"rotate": 90}), catalogue.build("resize", {"width": 192})])
    plan = pipeline.plan(working(96, 64).geometry)
    assert [(step.position, step.result.width, step.result.height, step.scale) for step in plan] == [
        (1, 64, 96, 1.0),
        (2, 192, 288, 3.0),
    ]
    assert pipeline.output_geometry(working(96, 64).geometry) == plan[-1].result
