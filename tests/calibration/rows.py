"""The table of what was measured: one row per recording, the counts at every threshold in one cell each."""

from __future__ import annotations

import csv
from pathlib import Path

from forensic.risk.calibration import table
from forensic.risk.calibration.counting import Mapped
from tests.calibration.recordings import Region, Stratum
from tests.calibration.scenes import Scene

FIELDS = (
    "scene", "scene_sha256", "stratum", "recording_sha256", "crf", "blur_sigma", *table.FIELDS, "remark",
)  # fmt: skip


def row_of(scene: Scene, stratum: Stratum, recording: Region | None, found: Mapped | None) -> dict[str, str]:
    """A row; a recording that could not be drawn has a remark and nothing else."""
    row = dict.fromkeys(FIELDS, "") | {"scene": scene.file, "scene_sha256": scene.sha256, "stratum": stratum.name}
    if recording is None or found is None:
        return row | {"remark": "no draw of this scene lay in the stratum"}
    how = recording.degradation
    about = {"crf": how.codec.crf, "blur_sigma": round(how.optics.sigma_x, 4)}
    told = {name: str(value) for name, value in about.items()}
    return row | {"recording_sha256": recording.sha256} | told | found.cells()


class Table:
    """Rows in a file, kept as they come; ``frames``: of pictures that are made of several."""

    def __init__(self, path: Path, *, frames: bool = False) -> None:
        self.path = path
        self.fields = (*FIELDS, table.FRAMES) if frames else FIELDS
        if not path.exists():
            with path.open("w", encoding="utf-8", newline="") as stream:
                csv.DictWriter(stream, self.fields, lineterminator="\n").writeheader()
        self.rows = read(path)
        self.done = {(row["scene"], row["stratum"]) for row in self.rows}

    def add(self, row: dict[str, str]) -> None:
        """Append a row."""
        with self.path.open("a", encoding="utf-8", newline="") as stream:
            csv.DictWriter(stream, self.fields, restval="", lineterminator="\n").writerow(row)


def read(path: Path) -> list[dict[str, str]]:
    """All rows."""
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))
