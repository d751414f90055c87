"""One frame of a file of a pair, through the confined decoder, and the file's digest before and after."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from forensic.case.regularfile import digest_regular
from forensic.errors import BadInput
from forensic.frames.frame import CodedFrame
from forensic.media.sandbox.reader import SandboxedReader

_MOST_HELD = 256 << 20  # bytes of frames, to find the middle one


@dataclass(frozen=True)
class Taken:
    """A frame and the digest of the file that it came from. ``index``: its number in the file."""

    sha256: str
    index: int
    frame: CodedFrame

    @property
    def seen(self) -> Seen:
        """What it was, without the picture."""
        return Seen(self.sha256, self.index, self.frame.sha256)


@dataclass(frozen=True)
class Seen:
    """Which frame of which file, and the digest of its decoded samples."""

    sha256: str
    index: int
    picture_sha256: str


def digest_of(path: Path) -> str:
    """SHA-256 of the file. Raises ``BadInput`` (``calibration.pair``) where it is missing or no regular file."""
    digest = digest_regular(path)
    if digest.startswith("unreadable"):
        raise BadInput("calibration.pair", f"{path.name} is {digest}")
    return digest


def take(path: Path, index: int | None, sha256: str, *, or_only: bool = False) -> Taken:
    """Frame ``index`` of the file; None: the middle one. ``sha256``: what the file must have, before and after.

    ``or_only``: of a file with one frame that one, whatever ``index``. Raises ``BadInput``: as the decoder, and
    ``calibration.pair`` for a frame that is not there, a long file of which none is named, or a file that changes.
    """
    if digest_of(path) != sha256:
        raise BadInput("calibration.pair", f"{path.name} is no longer what it was")
    found = _middle(path) if index is None else _numbered(path, index, or_only)
    if digest_of(path) != sha256:
        raise BadInput("calibration.pair", f"{path.name} changed while it was read")
    return Taken(sha256, found.timing.index, found)


def _numbered(path: Path, index: int, or_only: bool) -> CodedFrame:
    first: CodedFrame | None = None
    alone = True
    with SandboxedReader(path, coding=True) as reader:
        for frame in reader.frames():
            if frame.timing.index == index:
                return frame
            alone = first is None
            first = first or frame
    if or_only and alone and first is not None:
        return first
    raise BadInput("calibration.pair", f"{path.name} has no frame {index}")


def _middle(path: Path) -> CodedFrame:
    kept: list[CodedFrame] = []
    size = 0
    with SandboxedReader(path, coding=True) as reader:
        for frame in reader.frames():
            kept.append(frame)
            size += sum(plane.nbytes for plane in frame.planes)
            if size > _MOST_HELD:
                raise BadInput("calibration.pair", f"{path.name} is long: say which frame is meant (column frame)")
    if not kept:
        raise BadInput("calibration.pair", f"{path.name} has no frame")
    return kept[len(kept) // 2]
