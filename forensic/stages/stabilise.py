"""Stabilisation: the picture is moved against the shaking of the camera, by warping alone."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any, Literal

import numpy as np

from forensic.frames.frame import Geometry, Planes, WorkingFrame
from forensic.frames.stageclass import StageClass
from forensic.stages.camera import Model, Similarity, View, motion, view
from forensic.stages.chroma import NEUTRAL
from forensic.stages.kernels import KERNELS
from forensic.stages.luma import nominal_range
from forensic.stages.mesh import Mesh, mesh_motion, mesh_shape
from forensic.stages.parameters import Parameters, parameter
from forensic.stages.resampling import AxisMap, chroma_siting, resample
from forensic.stages.stage import Applied, Stage, StageCard
from forensic.stages.warping import PointMap, warp

_STEPS = 256  # shifts are rounded to 1/256 pixel, so that they can be recorded and repeated exactly
_DECIMALS = 8  # of the natural logarithm of the zoom and of the turn in radians
_EXACT = 1e-6  # pixels
_AT_REST = 1.0 / 64  # pixels at the farthest corner: below, a frame is passed on untouched


class StabiliseParameters(Parameters):
    """What motion is taken out, and over how many frames the path is made smooth."""

    radius: int = parameter(
        15, title="Frames on either side", unit="frames", ge=1, le=60,
        description="Frames before and after the present one whose camera motion is looked at.",
    )  # fmt: skip
    smoothing: float = parameter(
        5.0, title="Smoothing", unit="frames (standard deviation)", ge=0.5, le=60.0,
        description="Width of the Gaussian weights in time; a third of the radius uses the window well.",
    )  # fmt: skip
    model: Literal["translation", "similarity", "mesh"] = parameter(
        "translation", title="Motion", unit="name",
        description="'translation' takes out shifts; 'similarity' also turns and changes of zoom; 'mesh' also motion "
        "that differs over the picture, by dense flow.",
    )  # fmt: skip
    largest_shift: float = parameter(
        32.0, title="Largest shift", unit="pixels", ge=0.0, le=500.0,
        description="No corner of the picture is moved further; what is left of the shaking stays.",
    )  # fmt: skip
    kernel: Literal["bilinear", "bicubic", "lanczos"] = parameter(
        "lanczos", title="Kernel", unit="name", description="Interpolation, as in the stage 'resize'."
    )


class Stabilise(Stage[StabiliseParameters]):
    """Moves each picture onto a smooth path of the camera."""

    name = "stabilise"
    title = "Stabilisation"
    stage_class = StageClass.GEOMETRIC
    parameter_model = StabiliseParameters
    card = StageCard(
        explanation=(
            "Takes the shaking of the camera out of a clip. The motion of the whole picture from frame to frame is "
            "measured, the path of the camera is made smooth over neighbouring frames, and each frame is moved by "
            "the difference. Pixels come from that one frame only. Where a moved frame has no recording, the picture "
            "is black; nothing is filled in. Every frame's movement, the part without recording and the rectangle "
            "that is wholly recorded are on the record."
        ),
        artefacts=(
            "Black borders that change from frame to frame: they are no recording.",
            "Shaking is taken out as far as the window allows. Measured on a still scene of 60 frames, shifted at "
            "random in every frame (1.5 pixels, standard deviation), defaults: frame-to-frame jitter fell by 96 %, "
            "the wandering of the picture's place by 75 %; with smoothing 10 by 98 % and 87 %. On three recordings "
            "of 40 frames, shifted by known whole pixels: by 95 % and 80 %. At the ends of a clip less is taken out "
            "than within it.",
            "'translation' and 'similarity' take one movement for the whole picture: with a camera that moves along, "
            "near and far things cannot both be still, and a rolling shutter's wobble stays. Measured with shifts "
            "that differ from the top row to the bottom row: jitter at both ends fell by 35 % with 'translation', by "
            "93 % with 'mesh'. The mesh bends straight lines by what it takes out.",
            "Something that fills most of the picture and moves as one (a lorry passing the lens), or that alone has "
            "detail (a car on bare asphalt), may be taken for the camera. Frames in which nothing can be recognised "
            "end the path, which the record says ('not_followed').",
            "Text that the recorder put into the picture moves with the correction, and so do block edges: deblock "
            "before.",
            "Interpolation softens by a fraction of a pixel, differently in each frame.",
            "A real quick movement of the camera is slowed and spread over the window.",
            "Measured positions and speeds must be taken from the unstabilised picture, or corrected by the record.",
        ),
        references=(
            "C. Morimoto and R. Chellappa, Evaluation of Image Stabilization Algorithms, ICASSP 1998, vol. 5, "
            "2789-2792.",
            "Y. Matsushita, E. Ofek, W. Ge, X. Tang, H.-Y. Shum, Full-Frame Video Stabilization with Motion "
            "Inpainting, IEEE Transactions on Pattern Analysis and Machine Intelligence 28 (2006), 1150-1163 "
            "(Gaussian smoothing of relative motions within a window; its inpainting is not done here).",
            "S. Liu, P. Tan, L. Yuan, J. Sun, B. Zeng, MeshFlow: Minimum Latency Online Video Stabilization, ECCV "
            "2016, 800-815 (the mesh); T. Kroeger, R. Timofte, D. Dai, L. Van Gool, Fast Optical Flow using Dense "
            "Inverse Search, ECCV 2016, 471-488 (the flow that is gathered into it).",
            "W. S. Cleveland, Robust Locally Weighted Regression and Smoothing Scatterplots, Journal of the American "
            "Statistical Association 74 (1979), 829-836 (a local straight line, so that a pan is not delayed).",
            "S. Baker and I. Matthews, Lucas-Kanade 20 Years On: A Unifying Framework, International Journal of "
            "Computer Vision 56 (2004), 221-255.",
            "J.-M. Odobez and P. Bouthemy, Robust Multiresolution Estimation of Parametric Motion Models, Journal of "
            "Visual Communication and Image Representation 6 (1995), 348-365.",
        ),
    )

    @property
    def radius(self) -> int:
        """Frames on either side."""
        return self.parameters.radius

    def _apply(self, window: Sequence[WorkingFrame], at: int) -> Applied:
        frame, chosen = window[at], self.parameters
        move: Similarity | Mesh
        if chosen.model == "mesh":
            followed, move, limited = self._mesh(window, at)
        else:
            path = _path(window, at, chosen.model)
            followed, (move, limited) = path.keys(), self._move(path, at, frame.geometry)
        first, last = min(followed), max(followed)
        note: dict[str, Any] = {
            "move": move.to_record() if isinstance(move, Mesh) else _recorded(move),
            "limited": limited,
            "frames": [window[first].timing.index, window[last].timing.index],
        }
        ends = ((first - 1, first > 0), (last + 1, last < len(window) - 1))
        if any(broken for _, broken in ends):
            note["not_followed"] = [window[place].timing.index for place, broken in ends if broken]
        planes, outside = _moved(frame, move, chosen.kernel)
        return Applied(planes, {**note, "outside": outside})

    def _move(self, path: Mapping[int, Similarity], at: int, geometry: Geometry) -> tuple[Similarity, bool]:
        """By what the present frame is moved: from its own place to that of the smooth path there."""
        places = sorted(path)
        smooth = _smoothed(places, at, np.array([path[place].logarithm for place in places]), self.parameters.smoothing)
        farthest = Similarity.of_logarithm(*smooth).farthest(geometry.width, geometry.height)
        limited = farthest > self.parameters.largest_shift
        if limited:
            smooth = smooth * (self.parameters.largest_shift / farthest)
        move = _rounded(smooth, translation=self.parameters.model == "translation")
        at_rest = move.farthest(geometry.width, geometry.height) < _AT_REST
        return (Similarity() if at_rest else move), bool(limited)

    def _mesh(self, window: Sequence[WorkingFrame], at: int) -> tuple[Collection[int], Mesh, bool]:
        """As :meth:`_move`, for each vertex of a mesh; the result says where each place comes from."""
        geometry = window[at].geometry
        path = _vertex_paths(window, at, mesh_shape(geometry))
        places = sorted(path)
        values = np.array([path[place].ravel() for place in places])
        smooth = _smoothed(places, at, values, self.parameters.smoothing).reshape(path[at].shape)
        mesh = Mesh(smooth, geometry.width, geometry.height)
        limited = mesh.farthest > self.parameters.largest_shift
        if limited:
            mesh = Mesh(smooth * (self.parameters.largest_shift / mesh.farthest), geometry.width, geometry.height)
        at_rest = mesh.farthest < _AT_REST
        back = Mesh(np.zeros_like(smooth), geometry.width, geometry.height) if at_rest else mesh.back()
        return path.keys(), back, limited

    def _repeat(self, frame: WorkingFrame, note: Mapping[str, Any]) -> Planes:
        """``frame`` moved as ``note`` says that its like was."""
        move = note["move"]
        read = Mesh.from_record(move, frame.geometry) if "from" in move else _read(move)
        return _moved(frame, read, self.parameters.kernel)[0]


def _smoothed(places: Sequence[int], at: int, values: np.ndarray, smoothing: float) -> np.ndarray:
    """Value at ``at`` of the straight line that fits ``values`` [places, n] best, with Gaussian weights in time."""
    distance = np.array(places, dtype=np.float64) - at
    weight = np.exp(-0.5 * (distance / smoothing) ** 2)
    lines = np.stack([np.ones_like(distance), distance], axis=1) if len(places) > 2 else np.ones((len(places), 1))
    fit = np.linalg.solve(lines.T @ (weight[:, None] * lines), lines.T @ (weight[:, None] * values))
    return np.asarray(fit[0])


def common_rectangle(notes: Iterable[Mapping[str, Any]]) -> tuple[int, int, int, int] | None:
    """(x, y, width, height) in pixels that is recorded in every frame of these notes, or None where nothing is."""
    left, top, right, bottom = 0, 0, 1 << 30, 1 << 30
    for note in notes:
        x, y, width, height = note["outside"]["recorded"]
        left, top, right, bottom = max(left, x), max(top, y), min(right, x + width), min(bottom, y + height)
    return (left, top, right - left, bottom - top) if left < right < 1 << 30 and top < bottom else None


def _path(window: Sequence[WorkingFrame], at: int, model: Model) -> dict[int, Similarity]:
    """Place in the window → where that frame shows what the present one shows; as far as frames follow on.

    Motions are found from frame to frame and chained outwards, so that neighbouring windows agree on them.
    The chain ends at a change of scene or where nothing can be recognised.
    """
    seen = _Views(window)
    path = {at: Similarity()}
    for place in range(at + 1, len(window)):
        link = motion(seen[place - 1], seen[place], model)
        if link is None:
            break
        path[place] = link.after(path[place - 1])
    for place in range(at - 1, -1, -1):
        link = motion(seen[place], seen[place + 1], model)
        if link is None:
            break
        path[place] = link.inverse().after(path[place + 1])
    return path


def _vertex_paths(window: Sequence[WorkingFrame], at: int, shape: tuple[int, int]) -> dict[int, np.ndarray]:
    """As :func:`_path`, for each vertex: motions are summed in place (the vertex profiles of Liu et al. 2016)."""
    seen = _Views(window)
    path = {at: np.zeros((*shape, 2))}
    for place in range(at + 1, len(window)):
        link = mesh_motion(seen[place - 1], seen[place], shape)
        if link is None:
            break
        path[place] = path[place - 1] + link
    for place in range(at - 1, -1, -1):
        link = mesh_motion(seen[place], seen[place + 1], shape)
        if link is None:
            break
        path[place] = path[place + 1] - link
    return path


class _Views(dict[int, View]):
    """Views of the frames of a window, each made when it is asked for."""

    def __init__(self, window: Sequence[WorkingFrame]) -> None:
        super().__init__()
        self._window = window

    def __missing__(self, place: int) -> View:
        self[place] = made = view(self._window[place].luma)
        return made


def _rounded(logarithm: np.ndarray, *, translation: bool) -> Similarity:
    dx, dy = (round(float(value) * _STEPS) / _STEPS for value in logarithm[:2])
    grown, turned = (round(float(value), _DECIMALS) for value in logarithm[2:])
    return Similarity(shift=complex(dx, dy)) if translation else Similarity.of_logarithm(dx, dy, grown, turned)


def _recorded(move: Similarity) -> dict[str, float]:
    dx, dy, grown, turned = move.logarithm
    return {"dx": dx, "dy": dy, "log_zoom": round(grown, _DECIMALS), "turn": round(turned, _DECIMALS)}


def _read(move: Mapping[str, float]) -> Similarity:
    if move["log_zoom"] == move["turn"] == 0.0:
        return Similarity(shift=complex(move["dx"], move["dy"]))
    return Similarity.of_logarithm(move["dx"], move["dy"], move["log_zoom"], move["turn"])


def _moved(frame: WorkingFrame, move: Similarity | Mesh, kernel: str) -> tuple[Planes, dict[str, Any]]:
    """Planes with their content moved, black where there is no recording, and facts about that.

    ``move`` is a similarity by which content moves, or a mesh that says where each place comes from.
    """
    geometry = frame.geometry
    fills = _black(frame)
    source = _source(move, geometry)
    mask = _shown(geometry, source)
    missing = mask.size - int(np.count_nonzero(mask))
    outside = {"share": round(missing / mask.size, 6), "recorded": list(_inner_box(mask)), "value": list(fills)}
    if move == Similarity() if isinstance(move, Similarity) else not move.offsets.any():
        return frame.planes, outside
    planes = []
    if isinstance(move, Similarity) and move.turn == 1.0:
        dx, dy = (Fraction(round(value * _STEPS), _STEPS) for value in (move.shift.real, move.shift.imag))
        for number, plane in enumerate(frame.planes):
            across, down = _pitch(geometry, number)
            rows, columns = AxisMap(plane.shape[0], offset=-dy / down), AxisMap(plane.shape[1], offset=-dx / across)
            planes.append(resample(plane, rows, columns, KERNELS[kernel]))
    else:
        planes += warp(frame, source, geometry, kernel)[0]
    if missing:
        first_x, first_y = (float(place) for place in chroma_siting(geometry, frame.colour))
        for number, fill in enumerate(fills):
            pitch = _pitch(geometry, number)
            own = mask if pitch == (1, 1) else _shown(geometry, source, planes[number].shape, pitch, (first_x, first_y))
            planes[number] = np.where(own, planes[number], np.float32(fill))
    return tuple(planes), outside


def _source(move: Similarity | Mesh, geometry: Geometry) -> PointMap:
    """Where each place of the result comes from."""
    if isinstance(move, Mesh):
        return move.at
    back, across, down = move.inverse(), 0.5 * (geometry.width - 1), 0.5 * (geometry.height - 1)

    def place(u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        x = back.turn.real * (u - across) - back.turn.imag * (v - down) + back.shift.real + across
        y = back.turn.imag * (u - across) + back.turn.real * (v - down) + back.shift.imag + down
        return x, y

    return place


def _black(frame: WorkingFrame) -> tuple[float, ...]:
    """Nominal black without colour, per plane."""
    black = nominal_range(frame)[0]
    if frame.geometry.layout.family == "yuv":
        return black, float(NEUTRAL), float(NEUTRAL)
    return (black,) * len(frame.planes)


def _pitch(geometry: Geometry, number: int) -> tuple[int, int]:
    """Luma columns and rows in one sample of plane ``number``."""
    layout = geometry.layout
    if number == 0 or layout.family != "yuv":
        return 1, 1
    return 1 << layout.chroma_shift_x, 1 << layout.chroma_shift_y


def _shown(
    geometry: Geometry,
    source: PointMap,
    shape: tuple[int, int] | None = None,
    pitch: tuple[int, int] = (1, 1),
    first: tuple[float, float] = (0.0, 0.0),
) -> np.ndarray:
    """Where a plane shows the recording (boolean).

    A sample does if the place that it comes from lies between samples of the recording, the outermost included;
    half a pixel beyond them, where a value would be a repetition, is left out.
    """
    rows, columns = shape or (geometry.height, geometry.width)
    u = first[0] + pitch[0] * np.arange(columns, dtype=np.float64)[None, :]
    v = first[1] + pitch[1] * np.arange(rows, dtype=np.float64)[:, None]
    x, y = source(u, v)
    mask = (x >= -_EXACT) & (x <= geometry.width - 1 + _EXACT) & (y >= -_EXACT) & (y <= geometry.height - 1 + _EXACT)
    return np.broadcast_to(mask, (rows, columns))


def _inner_box(mask: np.ndarray) -> tuple[int, int, int, int]:
    """A rectangle in which ``mask`` holds everywhere: rows and columns are given up until it does."""
    top, left, (bottom, right) = 0, 0, mask.shape
    while top < bottom and left < right:
        inner = mask[top:bottom, left:right]
        worst = [
            (float(np.mean(~edge)), name)
            for edge, name in ((inner[0], "top"), (inner[-1], "bottom"), (inner[:, 0], "left"), (inner[:, -1], "right"))
        ]
        share, name = max(worst)
        if share == 0.0:
            return left, top, right - left, bottom - top
        top, bottom = top + (name == "top"), bottom - (name == "bottom")
        left, right = left + (name == "left"), right - (name == "right")
    return 0, 0, 0, 0
