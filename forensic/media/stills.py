"""The only writer of stills: a generative picture gets its label before it reaches the disk."""

from __future__ import annotations

from pathlib import Path

from forensic.errors import InternalError
from forensic.frames.frame import CodedFrame
from forensic.frames.stageclass import StageClass
from forensic.frames.still import still_png
from forensic.hashes import sha256_bytes
from forensic.media.label import burn, is_labelled
from forensic.media.libav import storage_failed, sync


def write_still(path: Path, frame: CodedFrame) -> tuple[CodedFrame, str]:
    """Write ``frame`` to the new file ``path`` as a still (PNG with its planes).

    Returns the frame as written, and the SHA-256 of the bytes that were written, not of what then lies there.

    A GENERATIVE frame is labelled first. Raises ``InternalError`` (``media.not-a-frame``,
    ``label.too-small``), ``StorageFailed`` (``media.disk-full``, ``media.write-failed``).
    """
    if type(frame) is not CodedFrame or not isinstance(frame.stage_class, StageClass):
        raise InternalError("media.not-a-frame", f"Stills are made of classed frames, not {type(frame).__name__}.")
    if frame.stage_class is StageClass.GENERATIVE:
        frame = burn(frame)
    png = still_png(frame, labelled=is_labelled)
    try:
        with path.open("xb") as file:
            file.write(png)
            file.flush()
            sync(file.fileno())
    except OSError as error:
        raise storage_failed(error, path) from error
    return frame, sha256_bytes(png)
