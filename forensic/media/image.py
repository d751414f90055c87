"""What the header of an image file adds: orientation and number of pages, which FFmpeg does not give."""

from __future__ import annotations

import importlib
import warnings
from typing import Any, BinaryIO, cast

from forensic.media.libav import ExhibitFile
from forensic.media.visible import visible

_MOST_COMPLAINTS = 16
_HEAD = 16
# How files of a kind begin, and the kind's name at Pillow and its module there.
_KINDS: tuple[tuple[bytes, str, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", "PNG", "PngImagePlugin"),
    (b"\xff\xd8\xff", "JPEG", "JpegImagePlugin"),
    (b"GIF8", "GIF", "GifImagePlugin"),
    (b"BM", "BMP", "BmpImagePlugin"),
    (b"II*\0", "TIFF", "TiffImagePlugin"),
    (b"MM\0*", "TIFF", "TiffImagePlugin"),
    (b"\0\0\0\x0cjP  ", "JPEG2000", "Jpeg2KImagePlugin"),
    (b"\xff\x4f\xff\x51", "JPEG2000", "Jpeg2KImagePlugin"),
    (b"RIFF", "WEBP", "WebPImagePlugin"),
)
_ALSO = {"JPEG": ("MpoImagePlugin", "TiffImagePlugin"), "PNG": ("TiffImagePlugin",), "WEBP": ("TiffImagePlugin",)}


def image_kind(head: bytes) -> str | None:
    """Pillow's name of the kind of image that begins with ``head`` (16 bytes), None if it is none that is read."""
    for magic, kind, _ in _KINDS:
        if head.startswith(magic) and (kind != "WEBP" or head[8:12] == b"WEBP"):
            return kind
    return None


def load_reader(head: bytes) -> None:
    """Import what :func:`image_facts` will need for a file that begins with ``head``: later nothing can be opened."""
    kind = image_kind(head)
    if kind is None:
        return
    importlib.import_module("PIL.Image").preinit()
    for module in {module for _, name, module in _KINDS if name == kind} | set(_ALSO.get(kind, ())):
        importlib.import_module(f"PIL.{module}")


def image_facts(file: ExhibitFile) -> dict[str, Any]:
    """Orientation (EXIF tag 274), page count and ICC profile as Pillow reads them from the header.

    What Pillow complains about is kept under ``complaints``; of kinds that it is not asked about, only
    ``not_read`` says so.
    """
    kind = image_kind(file.head(_HEAD))
    if kind is None:
        return {"not_read": "orientation, pages and colour profile of this kind of image"}
    load_reader(file.head(_HEAD))
    from PIL import Image

    facts: dict[str, Any] = {}
    before = file.tell()
    with warnings.catch_warnings(record=True) as complaints:
        warnings.simplefilter("always")
        try:
            file.seek(0)
            with Image.open(cast("BinaryIO", file), formats=[kind, *(["MPO"] if kind == "JPEG" else [])]) as image:
                orientation = image.getexif().get(274)
                facts = {
                    "exif_orientation": orientation if type(orientation) in (int, type(None)) else "malformed",
                    "pages": int(getattr(image, "n_frames", 1)),
                    "icc_profile": "icc_profile" in image.info,
                }
        except (
            OSError, ValueError, SyntaxError, TypeError, ArithmeticError, LookupError, Image.DecompressionBombError
        ) as error:  # fmt: skip
            facts = {"complaints": [visible(str(error), 200)]}
        finally:
            file.seek(before)
    if complaints:
        said = [visible(str(complaint.message), 200) for complaint in complaints]
        facts["complaints"] = (facts.get("complaints", []) + said)[:_MOST_COMPLAINTS]
    return facts
