"""Error of every estimator on simulated recordings: the tables of docs/estimation.md.

``python -m tests.estimation.measure [FOLDER] [--scenes N]`` prints Markdown. FOLDER holds photographs (default: the
shared ``bsds500/val``, which no estimator was tuned on; without it, drawn scenes).
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np

from forensic.estimation.duplicates import DuplicateFinder
from forensic.estimation.estimate import Answer, Estimate, value_of
from forensic.estimation.halo import Halo, estimate_halo
from forensic.estimation.noise import NoiseLevel, estimate_noise
from forensic.estimation.pointspread import PointSpread, estimate_point_spread
from forensic.estimation.quantiser import Quantiser, QuantiserLog
from forensic.estimation.sampling import Group, Observation
from forensic.estimation.survey import Survey, survey
from forensic.media.encoding import transcode
from forensic.simulation.degradation import Codec, Motion, Optics, Recorder, Sensor
from forensic.simulation.psf import gaussian_profile
from forensic.simulation.simulator import Recording
from tests.estimation.clips import drawn_scene, observed, photographs, record
from tests.footage import shared_data

Row = tuple[float, Answer]
_CODECS = {
    "none": Codec(),
    "H.264 CRF 18": Codec("h264", crf=18.0),
    "H.264 CRF 24": Codec("h264", crf=24.0),
    "H.264 CRF 30": Codec("h264", crf=30.0),
}


def summary(name: str, condition: str, rows: list[Row], *, relative: bool = True, period: float | None = None) -> str:
    """One line of a table: what was determined, its bias and spread, and how often the interval held the truth."""
    determined = [(truth, answer) for truth, answer in rows if isinstance(answer, Estimate)]
    plain = [(truth, answer) for truth, answer in determined if answer.bound is None]
    errors = np.array([_error(answer.value, truth, relative, period) for truth, answer in plain])
    inside = [_inside(answer, truth, period) for truth, answer in determined]
    unit = 100.0 if relative else 1.0
    mark = " %" if relative else ""
    bias = f"{unit * errors.mean():+.2f}{mark}" if errors.size else "-"
    spread = f"{unit * errors.std():.2f}{mark}" if errors.size else "-"
    coverage = f"{100 * np.mean(inside):.0f} %" if inside else "-"
    bounds = len(determined) - len(plain)
    return f"| {name} | {condition} | {len(rows)} | {len(plain)} | {bounds} | {bias} | {spread} | {coverage} |"


def _error(value: float, truth: float, relative: bool, period: float | None) -> float:
    gap = value - truth
    if period is not None:
        gap = (gap + period / 2) % period - period / 2
    return gap / truth if relative else gap


def _inside(answer: Estimate, truth: float, period: float | None) -> bool:
    if period is None:
        return answer.low <= truth <= answer.high
    return abs(_error(answer.value, truth, False, period)) <= (answer.high - answer.low) / 2


HEADER = (
    "| quantity | condition | recordings | determined | bounds only | bias | standard deviation | "
    "in the 90 % interval |\n|---|---|---|---|---|---|---|---|"
)


def _noise(scenes: list[np.ndarray]) -> Iterator[str]:
    gains: list[Row] = []
    for label, codec in (
        *_CODECS.items(),
        ("MPEG-4 q 4", Codec("mpeg4", quality=4)),
        ("MJPEG q 4", Codec("mjpeg", quality=4)),
    ):
        weak: list[Row] = []
        strong: list[Row] = []
        for number, scene in enumerate(scenes):
            for gain, read in ((0.0, 0.5), (0.02, 1.0), (0.05, 2.0), (0.1, 4.0), (0.3, 6.0)):
                found = _noise_of(record(scene, number, codec=codec, sensor=Sensor(gain=gain, read_noise=read)))
                truth = float(np.sqrt(read**2 + gain * found.level))
                (strong if truth > 4.0 else weak).append((truth, found.sigma))
                if label == "none":
                    gains.append((gain, found.gain))
        yield summary("noise, below 4 grey levels", label, weak)
        yield summary("noise, above 4 grey levels", label, strong)
    yield summary("gain (per level)", "none", gains, relative=False)


def _survey(recording: Recording) -> Survey:
    return survey(observed(recording))


def _looked_at(recording: Recording) -> tuple[list[Group], Quantiser]:
    frames = observed(recording)
    log = QuantiserLog()
    for one in frames:
        log.offer(one.coding)
    return [tuple(frames[place : place + 3]) for place in range(0, len(frames) - 2, 3)], log.finish([])


def _noise_of(recording: Recording) -> NoiseLevel:
    groups, quantiser = _looked_at(recording)
    return estimate_noise(groups, quantiser.step, quantiser.inter_coded, quantiser.scale)


def _spread_of(recording: Recording) -> PointSpread:
    groups, quantiser = _looked_at(recording)
    noise = estimate_noise(groups, quantiser.step, quantiser.inter_coded, quantiser.scale)
    return estimate_point_spread(groups, value_of(noise.left), quantiser.step)


def _blur(scenes: list[np.ndarray]) -> Iterator[str]:
    for label in ("none", "H.264 CRF 24"):
        codec = _CODECS[label]
        shapes: list[str] = []
        for sigma in (0.35, 0.6, 0.9, 1.3, 2.0, 3.0):
            rows: list[Row] = []
            for number, scene in enumerate(scenes):
                optics = Optics("gaussian", sigma_x=sigma, sigma_y=sigma)
                found = _spread_of(record(scene, number, 3, codec=codec, optics=optics))
                rows.append((float(np.sqrt(sigma**2 + 1 / 12)), found.width))
                shapes.append(found.shape)
            yield summary(f"width, Gaussian {sigma} px", label, rows)
        false = sum(shape in ("motion", "defocus") for shape in shapes)
        yield f"| false alarms | {label}: motion or defocus said of Gaussian blur | {len(shapes)} | {false} | | | | |"
        for radius in (2.0, 3.0, 4.5, 7.0):
            rows = []
            for number, scene in enumerate(scenes):
                found = _spread_of(record(scene, number, 3, codec=codec, optics=Optics("defocus", radius=radius)))
                rows.append((radius, found.radius))
            yield summary(f"defocus radius {radius} px", label, rows)
        for length in (5.0, 8.0, 14.0, 22.0):
            rows, angles = [], []
            for number, scene in enumerate(scenes):
                angle = float(np.random.default_rng(number).uniform(0, 180))
                optics = Optics("motion", length=length, angle=angle)
                found = _spread_of(record(scene, number, 3, codec=codec, optics=optics))
                rows.append((length, found.length))
                angles.append((angle, found.angle))
            yield summary(f"motion length {length} px", label, rows)
            yield summary(f"motion angle (degrees), {length} px", label, angles, relative=False, period=180.0)


def ideal_halo(sharpen: float, sigma: float, optics: float = 0.35) -> tuple[float, float]:
    """(overshoot in percent of the step, width at half its height in pixels) that a recorder draws at an ideal edge."""
    place = np.arange(-16.0, 16.0, 1 / 64)
    blur = float(np.hypot(optics, 12**-0.5))
    profile = gaussian_profile(sigma)
    reach = len(profile) // 2
    edge = _edge(place / blur)
    soft = sum(
        weight * _edge((place - far) / blur)
        for far, weight in zip(range(-reach, reach + 1), profile, strict=True)
    )  # fmt: skip
    swing = (edge + sharpen * (edge - soft) - 1.0) * (place > 0.0)
    wide = place[swing > 0.5 * swing.max()]
    return 100.0 * float(swing.max()), float(wide.max() - wide.min()) if sharpen else 0.0


def _edge(place: np.ndarray) -> np.ndarray:
    return np.array([0.5 * (1.0 + math.erf(one / math.sqrt(2.0))) for one in place])


def _halo_of(recording: Recording) -> Halo:
    groups, _ = _looked_at(recording)
    return estimate_halo(groups, 1.0)


def _halo(scenes: list[np.ndarray]) -> Iterator[str]:
    for label, codec in _CODECS.items():
        alarms = 0
        for sharpen, sigma in ((0.0, 1.0), (0.5, 1.0), (1.0, 1.0), (0.5, 1.8), (1.0, 1.8), (2.0, 1.0)):
            overshoot, width = ideal_halo(sharpen, sigma)
            rows: list[Row] = []
            widths: list[Row] = []
            strong = 0
            for number, scene in enumerate(scenes):
                recorder = Recorder(sharpen=sharpen, sharpen_sigma=sigma)
                found = _halo_of(record(scene, number, 6, codec=codec, recorder=recorder))
                rows.append((overshoot, found.overshoot))
                widths.append((width, found.width))
                answer = found.overshoot
                strong += isinstance(answer, Estimate) and answer.bound is None and answer.value >= 15.0
            name = f"sharpened {sharpen:g} times, {sigma:g} px"
            yield summary(f"{name}: overshoot of {overshoot:.1f} % of the step", label, rows, relative=False)
            if sharpen:
                yield summary(f"{name}: width {width:.2f} px", label, widths)
                yield f"| {name} | {label}: called strongly sharpened | {len(scenes)} | {strong} | | | | |"
            else:
                alarms = strong
        said = "strong sharpening said where there is none"
        yield f"| false alarms | {label}: {said} | {len(scenes)} | {alarms} | | | | |"


def _resolution(scenes: list[np.ndarray]) -> Iterator[str]:
    for label in ("none", "H.264 CRF 18", "H.264 CRF 24"):
        for share in (1.0, 0.85, 0.72, 0.6, 0.5, 0.4, 0.27):
            held: list[Row] = []
            factor: list[Row] = []
            for number, scene in enumerate(scenes):
                recorder = Recorder(resize_x=share, resize_y=share)
                recording = record(scene, number, 3, 1, codec=_CODECS[label], recorder=recorder)
                found = _survey(recording)
                for axis in (found.resolution.x, found.resolution.y):
                    small = round(axis.samples * share)
                    held.append((small, axis.held))
                    factor.append((axis.samples / small, axis.factor))
            yield summary(f"samples held, {share:g} of them", label, held)
            if share == 1.0:
                count = sum(isinstance(answer, Estimate) for _, answer in factor)
                yield f"| false alarms | {label}: enlargement where there is none | {len(factor)} | {count} | | | | |"
            else:
                yield summary(f"enlargement {1 / share:.3f}", label, factor)


def _coding(scenes: list[np.ndarray]) -> Iterator[str]:
    cases = {
        **_CODECS, "H.264 CRF 36": Codec("h264", crf=36.0), "H.265 CRF 28": Codec("h265", crf=28.0),
        "MPEG-4 q 3": Codec("mpeg4", quality=3), "MPEG-4 q 8": Codec("mpeg4", quality=8),
        "MJPEG q 3": Codec("mjpeg", quality=3), "MJPEG q 8": Codec("mjpeg", quality=8),
    }  # fmt: skip
    for label, codec in cases.items():
        right = wrong = 0
        steps: list[Row] = []
        for number, scene in enumerate(scenes):
            recording = record(scene, number, 6, 1, codec=codec)
            found = survey(observed(recording, told=False))
            for axis in (found.grid.x, found.grid.y):
                right += any(one.period == 8.0 and one.offset == 0.0 for one in axis)
                wrong += any(one.period not in (8.0, 16.0) or one.offset != 0.0 for one in axis)
            truth = 2.0 * codec.quality if codec.name == "mpeg4" and codec.quality else float("nan")
            steps.append((truth, found.quantiser.mean))
        yield f"| block grid 8, at the corner | {label} | {2 * len(scenes)} | {right} | | | | |"
        yield f"| another grid (false) | {label} | {2 * len(scenes)} | {wrong} | | | | |"
        if codec.name == "mpeg4":
            yield summary("quantiser step from the pictures", label, steps, relative=False)
        else:
            count = sum(isinstance(answer, Estimate) for _, answer in steps)
            yield f"| quantiser step from the pictures | {label} | {len(steps)} | {count} | | | | |"
    found_scaled = 0
    for number, scene in enumerate(scenes):
        recording = record(scene, number, 3, 1, codec=Codec("mjpeg", quality=6))
        large = [cv2.resize(frame, None, fx=1.5, fy=1.5, interpolation=cv2.INTER_CUBIC) for frame in recording.frames]
        again = [np.clip(frame, 0, 255).astype(np.uint8)[:480, :720] for frame in large]
        grid = survey(again).grid
        found_scaled += any(abs(one.period - 12.0) < 0.2 for one in (*grid.x, *grid.y))
    yield f"| grid of 12 after enlarging by 1.5 | MJPEG q 6 | {len(scenes)} | {found_scaled} | | | | |"


def _time(scenes: list[np.ndarray]) -> Iterator[str]:
    for label in ("none", "H.264 CRF 24"):
        for kind in ("none", "tff", "bff"):
            said = {True: 0, False: 0, None: 0}
            order = 0
            for number, scene in enumerate(scenes):
                recording = record(
                    scene, number, 6, 1, codec=_CODECS[label], recorder=Recorder(interlace=kind),
                    motion=Motion(jitter=0.2, pan_x=3.0), margin=16,
                )  # fmt: skip
                interlacing = _survey(recording).interlacing
                said[interlacing.interlaced] += 1
                order += interlacing.order == {"tff": "top", "bff": "bottom"}.get(kind)
            right = f", field order right {order}" if kind != "none" else ""
            yield (
                f"| interlacing ({kind}) | {label} | {len(scenes)} | yes {said[True]}, no {said[False]}, not "
                f"determined {said[None]}{right} | | | | |"
            )
    for label, codec in _CODECS.items():
        hits = misses = false = 0
        for number, scene in enumerate(scenes):
            clean = record(scene, number, 16, 2, motion=Motion(jitter=0.4)).frames
            shown, repeats = [], set()
            for place, luma in enumerate(clean):
                shown.append(luma.astype(np.uint8))
                if place % 5 == 2:
                    repeats.add(len(shown))
                    shown.append(shown[-1])
            if codec.crf is not None:
                grey = np.full((shown[0].shape[0] // 2, shown[0].shape[1] // 2), 128, np.uint8)
                coded = transcode([(luma, grey, grey) for luma in shown], codec="h264", crf=codec.crf, bframes=2)
                shown = [planes[0] for planes in coded.frames]
            finder = DuplicateFinder()
            for place, luma in enumerate(shown):
                finder.offer(Observation(place, luma))
            result = finder.finish()
            said_repeats = {*result.exact, *result.near}
            hits += len(said_repeats & repeats)
            misses += len(repeats - said_repeats)
            false += len(said_repeats - repeats)
        yield f"| repeated frames | {label} | {hits + misses} | {hits} found, {false} false | | | | |"


PARTS: dict[str, Callable[[list[np.ndarray]], Iterator[str]]] = {
    "noise": _noise, "blur": _blur, "halo": _halo, "resolution": _resolution, "coding": _coding, "time": _time,
}  # fmt: skip


def main() -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--scenes", type=int, default=12)
    parser.add_argument("--only", choices=PARTS, action="append")
    chosen = parser.parse_args()
    shared = shared_data()
    folder = chosen.folder or (shared / "bsds500" / "val" if shared else None)
    scenes = photographs(folder, chosen.scenes) if folder else [drawn_scene(n) for n in range(chosen.scenes)]
    print(f"{len(scenes)} scenes\n\n{HEADER}")
    for name in chosen.only or PARTS:
        for line in PARTS[name](scenes):
            print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
