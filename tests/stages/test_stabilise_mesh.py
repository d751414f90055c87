"""Stabilisation by a mesh: motion that differs over the picture is taken out, and leads back."""

from __future__ import annotations

import numpy as np
import pytest

from forensic.frames.frame import Geometry
from forensic.frames.layout import layout_named
from forensic.media.opencv import opencv
from forensic.stages.mesh import Mesh, mesh_shape
from forensic.validation import temporal
from tests.stages.test_stabilise import run, texture


def wobbling(count: int, thing: bool) -> tuple[np.ndarray, list[np.ndarray]]:
    """A still scene under a shift that differs from the top row to the bottom row, and from frame to frame."""
    generator, cv2 = np.random.default_rng(5), opencv()
    height, width = 120, 160
    ground, patch = texture(height + 48, width + 48, detail=2.0), texture(32, 32, seed=9) + 40
    ends = generator.normal(0, 1.2, (2, count, 2))
    v, u = np.mgrid[:height, :width].astype(np.float32)
    share = (v / (height - 1))[..., None]
    clip = []
    for index in range(count):
        by = ends[0, index] * (1 - share) + ends[1, index] * share
        x, y = (u + 24 - by[..., 0]).astype(np.float32), (v + 24 - by[..., 1]).astype(np.float32)
        luma = cv2.remap(ground, x, y, cv2.INTER_LANCZOS4)
        if thing:
            luma[44:76, (5 * index) % 120 : (5 * index) % 120 + 32] = patch
        clip.append((luma + generator.normal(0, 1.5, luma.shape)).astype(np.float32))
    return ground[24 : 24 + height, 24 : 24 + width], clip


@pytest.mark.parametrize("thing", [False, True])
def test_the_mesh_takes_out_motion_that_differs_over_the_picture(thing, working):
    scene, clip = wobbling(18, thing)
    height, width = scene.shape
    frames = [working(width, height, "gray", planes=(luma,), index=i).quantise() for i, luma in enumerate(clip)]

    def left(lumas, shown=None) -> list[float]:
        masks = [None] * len(lumas) if shown is None else shown
        found = []
        for band in (np.s_[:32], np.s_[-32:]):
            path = [
                temporal.displacement(scene[band], luma[band], None if mask is None else mask[band])
                for luma, mask in zip(lumas, masks, strict=True)
            ]
            found.append(temporal.jitter(np.array(path)).step)
        return found

    before, after = left(clip), {}
    for model in ("translation", "mesh"):
        pipeline, outputs = run(frames, model=model)
        shown = [pipeline.shows_recording(output.source.to_working(), output.notes) for output in outputs]
        after[model] = left([output.frame.to_working().luma for output in outputs], shown)
        for output, mask in zip(outputs, shown, strict=True):
            x, y, columns, rows = output.notes[0]["outside"]["recorded"]
            assert mask[y : y + rows, x : x + columns].all() and (output.frame.planes[0][~mask] == 128).all()
    for band in (0, 1):
        assert temporal.reduction(before[band], after["mesh"][band]) > 0.85
        assert after["mesh"][band] < 0.4 * after["translation"][band]


def test_a_mesh_leads_back_to_where_it_came_from():
    generator = np.random.default_rng(1)
    moved = Mesh(generator.normal(0, 1.5, (7, 9, 2)), 200, 150)
    back = moved.back()
    u, v = np.meshgrid(np.linspace(0, 199, 9)[1:-1], np.linspace(0, 149, 7)[1:-1])
    there = moved.at(*back.at(u, v))
    assert np.abs(there[0] - u).max() < 0.05 and np.abs(there[1] - v).max() < 0.05
    geometry = Geometry(200, 150, layout_named("gray"))
    assert np.array_equal(Mesh.from_record(back.to_record(), geometry).offsets, back.offsets)
    assert mesh_shape(geometry) == (9, 11)
