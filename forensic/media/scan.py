"""One pass over an exhibit: the frame manifest, its Merkle root, and what was found on the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from forensic.frames.colour import ColourSpec
from forensic.frames.frame import CodedFrame, Geometry
from forensic.frames.manifest import FrameRow
from forensic.hashes import MerkleTree
from forensic.media.anomaly import Anomaly
from forensic.media.libav import storage_failed, sync
from forensic.media.probe import MediaFacts
from forensic.media.sandbox.process import Limits
from forensic.media.sandbox.reader import SandboxedReader
from forensic.media.timing import Cadence


@dataclass(frozen=True)
class ScanResult:
    """Outcome of :func:`scan`. ``anomaly_counts`` counts every finding, ``anomalies`` lists up to 10 000 a kind."""

    facts: MediaFacts
    frame_count: int
    merkle_root: str
    anomalies: tuple[Anomaly, ...]
    anomaly_counts: dict[str, int]
    first_pts: int | None
    last_pts: int | None
    time_base: Fraction
    geometry: Geometry
    colour: ColourSpec
    vfr: bool
    cadence: Cadence
    statistics: dict[str, Any]
    isolation: dict[str, Any]

    @property
    def intervals(self) -> dict[str, Any]:
        """JSON-able summary of the intervals between frames."""
        return self.cadence.to_record(self.time_base)


def scan(
    path: Path,
    manifest_path: Path,
    progress: Callable[[int, int | None], None] | None = None,
    *,
    limits: Limits | None = None,
    tap: Callable[[CodedFrame], None] | None = None,
) -> ScanResult:
    """Decode every frame of ``path`` once and write its manifest (one row per frame) to ``manifest_path``.

    ``manifest_path`` must not exist: nothing is overwritten, and no link that lies there is followed.
    ``progress`` gets the number of frames done and the number that the container claims (or None), ``tap`` every frame.
    Memory stays bounded but for 8 bytes a frame. The decoding is done in a confined process
    (:class:`SandboxedReader`, whose ``BadInput`` this raises). Also raises
    ``StorageFailed`` (``media.disk-full``, ``media.write-failed``).
    """
    tree = MerkleTree()
    first = last = None
    with SandboxedReader(path, limits=limits) as reader:
        claimed = reader.facts.frames_claimed
        try:
            with manifest_path.open("xb") as manifest:
                for frame in reader.frames():
                    leaf = FrameRow.of(frame, reader.flags).leaf()
                    tree.append(leaf)
                    manifest.write(leaf + b"\n")
                    if tap is not None:
                        tap(frame)
                    last = frame.timing.pts
                    first = last if first is None else first
                    if progress is not None:
                        progress(tree.size, claimed)
                manifest.flush()
                sync(manifest.fileno())
        except OSError as error:
            raise storage_failed(error, manifest_path) from error
        cadence = reader.cadence
        assert cadence is not None  # noqa: S101 - set at the end of frames()
        return ScanResult(
            facts=reader.facts,
            frame_count=tree.size,
            merkle_root=tree.root().hex(),
            anomalies=tuple(reader.anomalies),
            anomaly_counts=reader.anomaly_counts,
            first_pts=first,
            last_pts=last,
            time_base=reader.time_base,
            geometry=reader.geometry,
            colour=reader.colour,
            vfr=not cadence.constant,
            cadence=cadence,
            statistics=reader.statistics,
            isolation=reader.isolation,
        )
