"""Media: the only package that touches FFmpeg's libraries (through PyAV).

Reading (:mod:`probe`, :mod:`reader`, :mod:`scan`), writing the lossless master (:mod:`writer`),
stills (:mod:`stills`), the burned-in label (:mod:`label`) and deinterlacing (:mod:`deinterlace`).
Nothing heavy is imported until one of these modules is.
"""

from __future__ import annotations

from typing import Any


def software_facts() -> dict[str, Any]:
    """Versions, configuration and licence of PyAV and of the FFmpeg libraries inside it."""
    from forensic.media.libav import software_facts as facts

    return facts()
