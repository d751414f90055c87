"""What the header of an image file adds: orientation and number of pages, which FFmpeg does not give."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from PIL import Image

from forensic.media.visible import visible

_MOST_COMPLAINTS = 16


def image_facts(path: Path) -> dict[str, Any]:
    """Orientation (EXIF tag 274) and page count as Pillow reads them from the header; {} if it cannot.

    What Pillow complains about is kept under ``complaints``.
    """
    facts: dict[str, Any] = {}
    with warnings.catch_warnings(record=True) as complaints:
        warnings.simplefilter("always")
        try:
            with Image.open(path) as image:
                orientation = image.getexif().get(274)
                facts = {
                    "exif_orientation": orientation if type(orientation) in (int, type(None)) else "malformed",
                    "pages": int(getattr(image, "n_frames", 1)),
                    "icc_profile": "icc_profile" in image.info,
                }
        except (OSError, ValueError, SyntaxError, TypeError, ArithmeticError, Image.DecompressionBombError) as error:
            facts = {"complaints": [visible(str(error), 200)]}
    if complaints:
        said = [visible(str(complaint.message), 200) for complaint in complaints]
        facts["complaints"] = (facts.get("complaints", []) + said)[:_MOST_COMPLAINTS]
    return facts
