"""Keys of the invisible mark in generative pixels, and what a record says of it (:mod:`forensic.media.watermark`)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from forensic.errors import VerificationFailed

VERSION = "spread/1"
PERIOD = 128  # pixels after which the tile repeats, both ways
WEAKEST, STRONGEST = 1.2, 3.0  # standard deviation of the mark, grey levels: in even places, in busy ones
PUBLIC_KEY = hashlib.sha256(b"forensic generative output, watermark spread/1, public key").digest()


@dataclass(frozen=True)
class Mark:
    """What the writer puts into generative frames: the public mark and that of ``key`` (32 bytes), or without one."""

    key: bytes | None = None

    def to_record(self) -> dict[str, Any]:
        """JSON-able, for the run's record. The run's key follows from the record (:func:`run_key`)."""
        return {
            "scheme": VERSION,
            "period": PERIOD,
            "grey_levels": [WEAKEST, STRONGEST],
            "public_key_id": key_id(PUBLIC_KEY),
            "run_key_id": None if self.key is None else key_id(self.key),
        }


PUBLIC_MARK = Mark()


def run_key(exhibit_sha256: str, recipe_sha256: str) -> bytes:
    """The key of runs of this recipe over this exhibit: who holds the record can compute it, a later run the same."""
    return hashlib.sha256(f"{VERSION} {exhibit_sha256} {recipe_sha256}".encode()).digest()


def key_id(key: bytes) -> str:
    """Name of a key in records: 16 hexadecimal digits of its digest."""
    return hashlib.sha256(key).hexdigest()[:16]


def mark_of_record(told: object, exhibit_sha256: str, recipe_sha256: str) -> Mark | None:
    """The mark of a run that is repeated, from ``output.watermark`` of its record; None for a run from before it.

    Raises ``VerificationFailed`` (``run.watermark``) if this version cannot make it.
    """
    if told is None:
        return None
    mark = Mark(run_key(exhibit_sha256, recipe_sha256))
    if told != mark.to_record():
        raise VerificationFailed(
            "run.watermark", "The record tells of another mark in the pixels than this version makes for its run."
        )
    return mark
