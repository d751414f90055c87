"""The risk map on real footage: the clips that every machine can have, and the laboratory's where present."""

from __future__ import annotations

from fractions import Fraction
from itertools import islice

import av
import cv2
import numpy as np
from PIL import Image

from forensic.frames.colour import ColourSpec
from forensic.frames.frame import CodedFrame, FrameTiming, Geometry
from forensic.frames.layout import LAYOUTS
from forensic.frames.stageclass import StageClass
from forensic.fusion.forward import ForwardModel
from forensic.hashes import canonical_json
from forensic.risk.assessment import assess
from forensic.risk.dihedral import dispersion
from forensic.risk.files import RiskPaths, write_maps


def _frame_of(path, index):
    with av.open(str(path)) as container:
        picture = next(islice(container.decode(video=0), index, None))
        samples = picture.reformat(format="yuv444p").to_ndarray()
    geometry = Geometry(samples.shape[2], samples.shape[1], LAYOUTS["yuv444p"])
    planes = tuple(np.ascontiguousarray(plane) for plane in samples)
    return CodedFrame(
        planes, geometry, ColourSpec(), FrameTiming(index, index, Fraction(1, 25)), StageClass.PRESENTATION
    )


def _enlarged(window, at):
    source = window[at]
    planes = tuple(cv2.resize(plane, None, fx=2, fy=2, interpolation=cv2.INTER_LANCZOS4) for plane in source.planes)
    geometry = Geometry(source.geometry.width * 2, source.geometry.height * 2, source.geometry.layout)
    return source.touched(StageClass.FIDELITY, planes, geometry=geometry)


def test_plain_lanczos_of_real_footage_is_mostly_low_and_invention_is_not(
    tmp_path, real_clip, street_clip, cctv_clips, invisible
):
    forward = ForwardModel(2)
    for clip in [real_clip, street_clip, *cctv_clips]:
        source = _frame_of(clip, 5)
        output = _enlarged([source.to_working()], 0).quantise()
        honest = assess(source.to_working(), output)
        assert honest.summary()["levels"]["LOW"]["share"] > 0.5, clip.name
        canonical_json(honest.to_record())

        paths = RiskPaths(*(tmp_path / f"{clip.stem}.{kind}.png" for kind in ("risk", "level", "overlay")))
        write_maps(paths, honest, output)
        with Image.open(paths.level) as levels:
            assert levels.size == (output.geometry.width, output.geometry.height)

        drawn = np.zeros((output.geometry.height, output.geometry.width), np.uint8)
        corner = (64, output.geometry.height // 2)
        cv2.putText(drawn, "XK7 B31", corner, cv2.FONT_HERSHEY_SIMPLEX, 0.9, 120, 2, cv2.LINE_8)
        forged = output.planes[0] + invisible(drawn.astype(np.float32), forward)
        planes = (np.clip(np.rint(forged), 0, 255).astype(np.uint8), *output.planes[1:])
        invented = CodedFrame(planes, output.geometry, output.colour, output.timing, output.stage_class)
        found = assess(source.to_working(), invented)
        high = [result.summary()["levels"]["HIGH"]["tiles"] for result in (honest, found)]
        assert high[1] > high[0], clip.name


def test_interpolation_of_real_footage_does_not_depend_on_how_the_picture_lies(real_clip):
    source = _frame_of(real_clip, 5).to_working()
    assert dispersion(_enlarged, [source], 0).deviation.max() < 0.01
