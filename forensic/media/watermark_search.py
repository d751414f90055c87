"""Whether pictures carry the mark of generative output (:mod:`forensic.media.watermark`), at whatever scale and crop.

The tile repeats, so its waves stand at known places of the picture's spectrum for every scale, and a crop only turns
their phases. For each scale the spectrum is read at those places, every value divided by what lies around it; the sum
over all waves of what agrees with the key is then computed for every shift of the tile at once (one small inverse
transform) and the largest taken.

**False alarms are bounded by design.** The phases of the key are independent of any picture that was not marked with
it. For such a picture the sum S of w cos(phase difference) over independent, uniform phases obeys
E exp(tS) = prod I0(t w) <= exp(t^2 sum(w^2) / 4), so with z = S / sqrt(sum(w^2) / 2) a single look gives more than z
with a probability of at most exp(-z^2 / 2), whatever the picture is; over N looks (frames, scales, shifts, keys) N
times that. What is reported as ``p`` is this bound, and :data:`MOST` is what it may be at most. It is a statement about
the choice of the key, not about the next camera: rates that were measured stand in docs/creative.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from forensic.frames.frame import CodedFrame
from forensic.media.opencv import opencv
from forensic.media.watermark import phases, public_waves, waves
from forensic.media.watermark_keys import PERIOD, PUBLIC_KEY, VERSION

MOST = 1e-6  # bound on the probability of a false alarm, for one exhibit
NAMED = 1e-4  # the same for naming a run once the public mark was found
LEAST_SIDE = 96  # pixels: smaller pictures are not looked at
FRAMES = 6  # of a file that are looked at
SCALES = (0.38, 2.1)  # of the picture beside that which was written

_LARGEST = 1536  # pixels a side that are looked at, in the middle
_SHIFTS = 64  # places of the tile along each axis that are tried
_COARSE = 4.0  # pixels: what is coarser is light, not mark
_CLIP = 1.5  # local deviations beyond which a sample says no more
_AROUND = 0.010  # cycles per pixel around a place of the spectrum over which its level is taken


# Where a wave (down, right) of the mark stands in a picture that was turned so.
TURNS = {
    "mirrored left to right": ((1, 0), (0, -1)),
    "mirrored top to bottom": ((-1, 0), (0, 1)),
    "turned by 180 degrees": ((-1, 0), (0, -1)),
    "turned by 90 degrees clockwise": ((0, 1), (-1, 0)),
    "turned by 90 degrees anticlockwise": ((0, -1), (1, 0)),
    "mirrored at the falling diagonal": ((0, 1), (1, 0)),
    "mirrored at the rising diagonal": ((0, -1), (-1, 0)),
}
Place = tuple[int, int, int, int]


@dataclass(frozen=True)
class Found:
    """The largest agreement with a key: ``z`` and its bound ``p``, at which scale, over how many looks.

    ``place``: frame, scale and shift (rows, columns) by their numbers. ``turned``: how the picture lies, empty
    as it was written.
    """

    z: float
    p: float
    scale: float
    looks: int
    frames: int
    place: Place
    turned: str = ""

    def to_record(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "z": round(self.z, 3), "p": self.p, "scale": round(self.scale, 4), "looks": self.looks,
            "frames": self.frames,
        }  # fmt: skip


@dataclass(frozen=True)
class Looked:
    """What a search in some frames of a file gave. ``public``, ``run`` (name and agreement): None where not sought.

    ``turned``: the public mark in the picture mirrored and turned, None where it was found without.
    """

    frames: int
    public: Found | None = None
    run: tuple[str, Found] | None = None
    keys: int = 0
    turned: Found | None = None

    @property
    def found(self) -> bool:
        """Whether the public mark or that of a run is there; all searches together may be wrong with :data:`MOST`."""
        return self.is_public or self.run_found is not None

    @property
    def is_public(self) -> bool:
        """Whether the public mark is there."""
        return self.best is not None

    @property
    def best(self) -> Found | None:
        """The public mark where it is there, as written or turned."""
        if self.public is not None and self.public.p <= MOST / 2:
            return self.public
        return self.turned if self.turned is not None and self.turned.p <= MOST / 4 else None

    @property
    def run_found(self) -> str | None:
        """Name of the run whose mark is there. Where the public mark is, less is asked: it is only about whose."""
        most = NAMED if self.is_public else MOST / 4
        return self.run[0] if self.run is not None and self.run[1].p <= most else None

    def to_record(self) -> dict[str, Any]:
        """JSON-able, for the ledger."""
        return {
            "scheme": VERSION,
            "frames": self.frames,
            "most": MOST,
            "public": None if self.public is None else self.public.to_record(),
            "turned": None if self.turned is None else {"how": self.turned.turned, **self.turned.to_record()},
            "run_keys": self.keys,
            "run": None if self.run is None else {"name": self.run[0], **self.run[1].to_record()},
            "found": self.found,
        }


class Sample:
    """A few frames of a file, spread over it, whose length need not be known before."""

    def __init__(self) -> None:
        self._kept: list[np.ndarray] = []
        self._stride = 1
        self._count = 0
        self._grey_scale = 1.0

    def take(self, frame: CodedFrame) -> None:
        """Look at the next frame; the middle of its luma is kept if it is its turn."""
        if self._count % self._stride == 0:
            layout = frame.geometry.layout
            plane = frame.planes[1 if layout.family == "rgb" else 0]
            self._grey_scale = layout.grey_scale
            self._kept.append(_middle(plane, *(min(side, _LARGEST) for side in plane.shape)).copy())
            if len(self._kept) == 2 * FRAMES:
                self._kept = self._kept[::2]
                self._stride *= 2
        self._count += 1

    def pictures(self) -> list[np.ndarray]:
        """At most :data:`FRAMES` luma planes, float32, grey levels, each the middle of its frame."""
        places = np.linspace(0, len(self._kept) - 1, min(FRAMES, len(self._kept))).round().astype(int)
        return [self._kept[place].astype(np.float32) / np.float32(self._grey_scale) for place in places]


def look(sample: Sample, keys: Mapping[str, bytes]) -> Looked:
    """Search ``sample`` for the public mark and for those of ``keys``, by name of the run."""
    pictures = sample.pictures()
    if not pictures or min(pictures[0].shape) < LEAST_SIDE:
        return Looked(0)
    spectra = Spectra(pictures)
    public, run = spectra.search(), spectra.search(keys)
    looked = Looked(len(pictures), None if public is None else public[1], run, len(keys))
    if not looked.is_public:
        looked = replace(looked, turned=spectra.search_turned())
    if run is not None and (best := looked.best) is not None:
        looked = replace(looked, run=min(run, spectra.confirm(keys, best), key=lambda found: found[1].p))
    return looked


class Spectra:
    """What the search needs of some pictures of one size: luma planes [rows, columns] in grey levels."""

    def __init__(self, pictures: Sequence[np.ndarray]) -> None:
        rows, columns = (min(side, _LARGEST) for side in pictures[0].shape)
        self.scales = _scales(max(rows, columns))
        # [frames, scales, waves]: the spectrum of each where the waves are, divided by its level there
        self.values = np.stack(
            [_read(_middle(picture, rows, columns).astype(np.float32), self.scales) for picture in pictures]
        )
        if len(pictures) > 1:
            self.values = np.concatenate([self.values, self.values.sum(0, keepdims=True)])
        self.frames = len(pictures)

    def search(self, keys: Mapping[str, bytes] | None = None) -> tuple[str, Found] | None:
        """The best agreement with one of ``keys`` by name, None for none; without ``keys`` with the public one.

        ``p`` counts the looks of all keys.
        """
        if keys is not None and not keys:
            return None
        return self._best(self.values, {"": PUBLIC_KEY} if keys is None else keys, is_public=keys is None)

    def search_turned(self) -> Found:
        """The best agreement with the public key of all frames together, mirrored and turned by quarters.

        ``p`` counts the looks of all :data:`TURNS`.
        """
        found = [
            replace(self._best(_turned(self.values[-1:], turn), {"": PUBLIC_KEY}, is_public=True)[1], turned=turn)
            for turn in TURNS
        ]
        best = max(found, key=lambda one: one.z)
        looks = sum(one.looks for one in found)
        return replace(best, looks=looks, p=_bound(best.z, looks), place=(len(self.values) - 1, *best.place[1:]))

    def _best(self, values: np.ndarray, names: Mapping[str, bytes], *, is_public: bool) -> tuple[str, Found]:
        own = public_waves() if is_public else ~public_waves()
        values, places = values[:, :, own], waves()[own]
        power = np.sqrt(np.sum(np.abs(values) ** 2, axis=2) / 2.0)
        looks = values.shape[0] * values.shape[1] * _SHIFTS**2 * len(names)
        best: tuple[float, str, Place] = (-1.0, "", (0, 0, 0, 0))
        for name, key in names.items():
            turned = values * np.exp(-1j * phases(key)[own]).astype(np.complex64)
            for frame in range(len(values)):
                grid = np.zeros((len(self.scales), _SHIFTS, _SHIFTS), np.complex64)
                grid[:, places[:, 0] % _SHIFTS, places[:, 1]] = turned[frame]
                sums = np.fft.ifft2(grid, axes=(1, 2)).real.reshape(len(self.scales), -1) * _SHIFTS**2
                scores = sums.max(axis=1) / np.maximum(power[frame], 1e-9)
                at = int(np.argmax(scores))
                if scores[at] > best[0]:
                    best = float(scores[at]), name, (frame, at, *divmod(int(np.argmax(sums[at])), _SHIFTS))
        z, name, place = best
        return name, Found(z, _bound(z, looks), float(self.scales[place[1]]), looks, self.frames, place)

    def confirm(self, keys: Mapping[str, bytes], public: Found) -> tuple[str, Found]:
        """The best of ``keys``, of which there is one, where the public mark was found: the tile lies as that one."""
        frame, scale, top, left = public.place
        values, (down, right) = self.values[frame, scale], waves()[~public_waves()].T
        values = (_turned(values, public.turned) if public.turned else values)[~public_waves()]
        power = max(float(np.sqrt(np.sum(np.abs(values) ** 2) / 2.0)), 1e-9)
        looks = 9 * len(keys)
        scores = {
            (float(np.sum(values * np.exp(1j * (2 * np.pi * (down * y + right * x) / _SHIFTS - own))).real), name)
            for name, key in keys.items()
            for own in (phases(key)[~public_waves()],)
            for y in range(top - 1, top + 2)
            for x in range(left - 1, left + 2)
        }
        score, name = max(scores)
        z = score / power
        return name, Found(
            z, _bound(z, looks), float(self.scales[scale]), looks, self.frames, public.place, public.turned
        )


def _turned(values: np.ndarray, turn: str) -> np.ndarray:
    """complex [..., waves]: what stands at each wave once the picture is turned back. The set of waves allows it."""
    numbers = {(int(down), int(right)): number for number, (down, right) in enumerate(waves())}
    there = waves() @ np.array(TURNS[turn]).T
    behind = there[:, 1] < 0  # of a real picture: the conjugate of the wave the other way
    there[behind] *= -1
    found = values[..., [numbers[int(down), int(right)] for down, right in there]]
    return np.where(behind, found.conj(), found)


def _bound(z: float, looks: int) -> float:
    """Bound on the probability that one of so many looks gives more than ``z`` without a mark."""
    return float(min(1.0, looks * np.exp(-z * z / 2.0))) if z > 0 else 1.0


@lru_cache(maxsize=16)
def _scales(side: int) -> np.ndarray:
    """Scales to try for pictures of this longer side: the finest wave may slip by a quarter between two of them."""
    found, scale = [], SCALES[0]
    while scale <= SCALES[1]:
        found.append(scale)
        scale *= 1.0 + min(0.02, 6.0 * scale / side)
    return np.array(found)


def _middle(picture: np.ndarray, rows: int, columns: int) -> np.ndarray:
    top, left = (picture.shape[0] - rows) // 2, (picture.shape[1] - columns) // 2
    return picture[top : top + rows, left : left + columns]


def _read(picture: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """complex64 [scales, waves] of one picture."""
    cv2 = opencv()
    fine = picture - cv2.GaussianBlur(picture, (0, 0), _COARSE)
    level = np.sqrt(cv2.GaussianBlur(fine * fine, (0, 0), _COARSE))
    fine = np.clip(fine / (level + np.float32(1.0)), -_CLIP, _CLIP)
    rows, columns = fine.shape
    fine *= _window(rows)[:, None] * _window(columns)[None, :]
    height, width = (cv2.getOptimalDFTSize(side + side // 4) for side in (rows, columns))
    width += width % 2
    padded = np.zeros((height, width), np.float32)
    padded[:rows, :columns] = fine
    padded = np.roll(padded, (-(rows // 2), -(columns // 2)), (0, 1))
    spectrum = np.fft.rfft2(padded)
    power = (spectrum.real**2 + spectrum.imag**2).astype(np.float32)
    size = tuple(max(3, 2 * round(_AROUND * side) + 1) for side in (width, height))
    around = cv2.blur(power, size, borderType=cv2.BORDER_REFLECT_101)
    down, right = (waves()[None, :, axis] / (PERIOD * scales[:, None]) for axis in (0, 1))
    seen = np.hypot(down, right) < 0.5
    at = np.rint(down * height).astype(int) % height, np.minimum(np.rint(right * width).astype(int), width // 2)
    return np.asarray(np.where(seen, spectrum[at] / np.sqrt(around[at] + 1e-6), 0.0), np.complex64)


def _window(length: int) -> np.ndarray:
    """Tukey window (tapered over a quarter at each end), float32."""
    place = np.minimum(np.arange(length), np.arange(length)[::-1]) + 0.5
    return (0.5 - 0.5 * np.cos(np.pi * np.minimum(place / (length / 4.0), 1.0))).astype(np.float32)
