"""Stabilisation: the picture is moved against the shaking of the camera, by warping alone."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, model_validator

from forensic.errors import BadInput
from forensic.frames.frame import Geometry, Planes, WorkingFrame
from forensic.frames.stageclass import StageClass
from forensic.stages.camera import Model, Similarity, View, motion, view
from forensic.stages.kernels import KERNELS
from forensic.stages.mesh import Mesh, mesh_motion, mesh_shape
from forensic.stages.movement import UNALIKE, Bound, Movement
from forensic.stages.parameters import Parameters, parameter
from forensic.stages.resampling import AxisMap, chroma_siting, resample
from forensic.stages.stage import Applied, Stage, StageCard
from forensic.stages.validity import inner_box, shown
from forensic.stages.warping import PointMap, neutral_values, warp

_STEPS = 256  # shifts are rounded to 1/256 pixel, so that they can be recorded and repeated exactly
_DECIMALS = 8  # of the natural logarithm of the zoom and of the turn in radians
_AT_REST = 1.0 / 64  # pixels at the farthest corner: below, a frame is passed on untouched


FrameNumber = Annotated[int, Field(ge=0, le=2**31 - 1)]


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
    reference: FrameNumber | None = parameter(
        None, title="Reference frame", unit="frame number",
        description="Every picture is moved to the place of this frame; without one the path is made smooth. Its "
        "path is measured before the run, unless it is given.",
    )  # fmt: skip
    path: tuple[tuple[FrameNumber, float, float, float, float], ...] | None = parameter(
        None, title="Path", unit="frame number, pixels (x, y), logarithm of the zoom, radians", max_length=2032,
        description="With a reference frame: by what the content of each frame is displaced against it, about the "
        "middle of the picture.",
    )  # fmt: skip
    kernel: Literal["bilinear", "bicubic", "lanczos"] = parameter(
        "lanczos", title="Kernel", unit="name", description="Interpolation, as in the stage 'resize'."
    )

    @model_validator(mode="after")
    def _locked(self) -> StabiliseParameters:
        if self.path is not None and self.reference is None:
            raise ValueError("a path needs the reference frame that it is measured against")
        if self.reference is not None and self.model == "mesh":
            raise ValueError("a reference frame goes with the models 'translation' and 'similarity'")
        if any(later[0] <= earlier[0] for earlier, later in pairwise(self.path or ())):
            raise ValueError("the frame numbers of the path must rise")
        return self


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
            "is neutral grey; nothing is filled in. With a reference frame every picture is moved to the place of that "
            "frame instead, which holds the scene still for the whole clip: for a camera that is meant to stand. Every "
            "frame's movement, the part without recording and the rectangle that is wholly recorded are on the record, "
            "and the rectangle that is recorded in all frames."
        ),
        artefacts=(
            "Grey borders that change from frame to frame: they are no recording.",
            "Shaking is taken out as far as the window allows. Measured on a still scene of 60 frames, shifted at "
            "random in every frame (1.5 pixels, standard deviation), defaults: frame-to-frame jitter fell by 96 %, "
            "the wandering of the picture's place by 75 %; with smoothing 10 by 98 % and 87 %. On three recordings "
            "of 40 frames, shifted by known whole pixels: by 95 % and 80 %. At the ends of a clip less is taken out "
            "than within it.",
            "With a reference frame, on the same clip: frame-to-frame jitter and the wandering of place fell by "
            "99.6 % (noise of 4 grey levels: 99.4 %). What a frame no longer shares with the reference cannot be "
            "placed: such frames are passed on unmoved, which the record says. The path is measured before the run, "
            "frame by frame.",
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
        """Frames on either side; none with a reference frame, whose path is given."""
        return 0 if self.parameters.reference is not None else self.parameters.radius

    @property
    def movement(self) -> Movement:
        """By what was measured."""
        return Movement.UNSTEADY

    @property
    def bound(self) -> Bound | None:
        """A path that is given is that of the whole picture."""
        behind = frozenset(Movement) - UNALIKE
        return None if self.parameters.path is None else Bound("is given the path of the recorded picture", behind)

    def after_crop(self, x: int, y: int) -> Stabilise:
        """The same path, if it has shifts only. Raises ``BadInput`` (``stage.stabilise``) for one that turns and
        grows about the middle of the whole picture.
        """
        if self.parameters.path is not None and self.parameters.model != "translation":
            raise BadInput(
                "stage.stabilise",
                "The given path turns the picture about its middle, which a region would move.",
                "Leave the region out, or put a crop behind the stage.",
            )
        return self

    def output_geometry(self, geometry: Geometry) -> Geometry:
        """As it comes in. Raises ``BadInput`` (``stage.stabilise``) for a reference frame without a path."""
        if self.parameters.reference is not None and self.parameters.path is None:
            raise BadInput(
                "stage.stabilise",
                f"The path against frame {self.parameters.reference} was not measured.",
                "Run the recipe by 'enhance', which measures it first, or give the path.",
            )
        return geometry

    def _apply(self, window: Sequence[WorkingFrame], at: int) -> Applied:
        frame, chosen = window[at], self.parameters
        if chosen.reference is not None:
            return self._locked_on(frame, chosen.reference)
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

    def _locked_on(self, frame: WorkingFrame, reference: int) -> Applied:
        """``frame`` moved to the place of frame ``reference``."""
        number, geometry = frame.timing.index, frame.geometry
        found = next((row for row in self.parameters.path or () if row[0] == number), None)
        move, limited = Similarity(), False
        if found is not None:
            back = np.array(Similarity.of_logarithm(*found[1:]).inverse().logarithm)
            move, limited = self._bounded(back, geometry)
        note: dict[str, Any] = {"move": _recorded(move), "limited": limited, "reference": reference}
        if found is None:
            note["not_followed"] = [number]
        planes, outside = _moved(frame, move, self.parameters.kernel)
        return Applied(planes, {**note, "outside": outside})

    def _move(self, path: Mapping[int, Similarity], at: int, geometry: Geometry) -> tuple[Similarity, bool]:
        """By what the present frame is moved: from its own place to that of the smooth path there."""
        places = sorted(path)
        smooth = _smoothed(places, at, np.array([path[place].logarithm for place in places]), self.parameters.smoothing)
        return self._bounded(smooth, geometry)

    def _bounded(self, move_by: np.ndarray, geometry: Geometry) -> tuple[Similarity, bool]:
        """The movement of logarithm ``move_by``, no further than is allowed; and whether that held it back."""
        farthest = Similarity.of_logarithm(*move_by).farthest(geometry.width, geometry.height)
        limited = farthest > self.parameters.largest_shift
        if limited:
            move_by = move_by * (self.parameters.largest_shift / farthest)
        move = _rounded(move_by, translation=self.parameters.model == "translation")
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
    """Planes with their content moved, neutral grey where there is no recording, and facts about that.

    ``move`` is a similarity by which content moves, or a mesh that says where each place comes from.
    """
    geometry = frame.geometry
    fills = neutral_values(frame)
    source = _source(move, geometry)
    mask = shown(geometry, source)
    missing = mask.size - int(np.count_nonzero(mask))
    outside = {"share": round(missing / mask.size, 6), "recorded": list(inner_box(mask)), "value": list(fills)}
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
            own = mask if pitch == (1, 1) else shown(geometry, source, planes[number].shape, pitch, (first_x, first_y))
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


def _pitch(geometry: Geometry, number: int) -> tuple[int, int]:
    """Luma columns and rows in one sample of plane ``number``."""
    layout = geometry.layout
    if number == 0 or layout.family != "yuv":
        return 1, 1
    return 1 << layout.chroma_shift_x, 1 << layout.chroma_shift_y
