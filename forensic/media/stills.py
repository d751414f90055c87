"""The only writer of stills: a generative picture gets its mark and its label before it reaches the disk."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from forensic.errors import InternalError
from forensic.frames.frame import CodedFrame
from forensic.frames.png import gray_png
from forensic.frames.stageclass import StageClass
from forensic.frames.still import still_png
from forensic.hashes import sha256_bytes
from forensic.media.label import is_labelled
from forensic.media.libav import storage_failed, sync
from forensic.media.watermark import sealed_once


def write_still(path: Path, frame: CodedFrame) -> tuple[CodedFrame, str]:
    """Write ``frame`` to the new file ``path`` as a still (PNG with its planes).

    Returns the frame as written, and the SHA-256 of the bytes that were written, not of what then lies there.

    A GENERATIVE frame without the label is marked and labelled first (``media.watermark``). Raises ``InternalError``
    (``media.not-a-frame``, ``label.too-small``), ``StorageFailed`` (``media.disk-full``, ``media.write-failed``).
    """
    frame = _labelled(frame)
    png = still_png(frame, labelled=is_labelled)
    return frame, _store(path, png)


def write_gray(path: Path, frame: CodedFrame, texts: Mapping[str, str]) -> tuple[CodedFrame, str]:
    """Write ``frame``, of a grey layout of 8 or 16 bits, to the new file ``path`` as a grey PNG, sample for sample.

    Returns and raises as :func:`write_still`; a GENERATIVE frame is labelled first. ``texts``: Latin-1 (tEXt).
    """
    frame = _labelled(frame)
    return frame, _store(path, gray_png(frame.planes[0], texts))


def write_numbers(path: Path, numbers: np.ndarray, texts: Mapping[str, str]) -> str:
    """Write uint8 or uint16 ``numbers`` that are no picture (weights, counts) to the new file ``path`` as a grey PNG.

    Returns the SHA-256 of the bytes. Raises ``StorageFailed`` as :func:`write_still`.
    """
    return _store(path, gray_png(numbers, texts))


def _labelled(frame: CodedFrame) -> CodedFrame:
    if type(frame) is not CodedFrame or not isinstance(frame.stage_class, StageClass):
        raise InternalError("media.not-a-frame", f"Stills are made of classed frames, not {type(frame).__name__}.")
    return sealed_once(frame) if frame.stage_class is StageClass.GENERATIVE else frame


def _store(path: Path, data: bytes) -> str:
    try:
        with path.open("xb") as file:
            file.write(data)
            file.flush()
            sync(file.fileno())
    except OSError as error:
        raise storage_failed(error, path) from error
    return sha256_bytes(data)
