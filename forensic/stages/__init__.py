"""Enhancement stages, recipes that order them, and the pipeline that runs them."""

from __future__ import annotations

from typing import Any


def determinism_facts() -> dict[str, Any]:
    """Versions, processor features and flags that the pixels of classical stages depend on."""
    from forensic.media.opencv import determinism_facts as facts  # keeps `import forensic.stages` light

    return facts()
