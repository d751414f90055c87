"""The bench: a workspace of its own in which simulated recordings are acquired and enhanced as any exhibit would be.

No short cut: every picture that is measured came through ``acquire`` and ``enhance``, with policy, confined decoder,
record and report. The bench has a key of its own, made for the validation and thrown away with it.
"""

from __future__ import annotations

import os
import shutil
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from forensic.case.acquire import acquire
from forensic.case.enhance import FinishedRun, enhance
from forensic.case.exhibits import Exhibit
from forensic.case.layout import RunFolder
from forensic.case.plan import EnhanceRequest
from forensic.case.progress import Silent
from forensic.case.storage import make_folder, protect, write_file
from forensic.case.workspace import Workspace, create_workspace
from forensic.hashes import sha256_file
from forensic.media.sandbox.reader import SandboxedReader
from forensic.registry.cards import load_card
from forensic.validation.recordings import Simulated, recordings
from forensic.validation.scenes import Picture
from forensic.validation.suite import OWN, Suite
from forensic.validation.verdicts import FEWEST_FOR_A_MEAN

_CASE = "VALIDATION"
_ORIGIN = "forensic validate, bench"
Region = tuple[int, int, int, int]
"""Left, top, columns and rows, in recorded pixels."""
_SEVERAL = 3  # workers, where several are asked for: more than the cores of a small machine must not matter


class NotRunHere(Exception):
    """Why a requirement cannot be measured on this machine; it is recorded as NOT RUN with this reason."""


@dataclass(frozen=True)
class Original:
    """A file as it was before anything of ours touched it, and the exhibit that was acquired from it."""

    path: Path
    sha256: str
    status: os.stat_result
    exhibit: str

    def differences(self) -> list[str]:
        """What is no longer as it was: content, size, time of change, permissions; all of it where the file is gone."""
        try:
            now = self.path.lstat()
        except FileNotFoundError:
            return ["gone"]
        if not stat.S_ISREG(now.st_mode):
            return ["no longer a regular file"]
        found = [] if sha256_file(self.path) == self.sha256 else ["content"]
        pairs = (("size", "st_size"), ("time of change", "st_mtime_ns"), ("permissions", "st_mode"))
        return found + [name for name, key in pairs if getattr(now, key) != getattr(self.status, key)]


@dataclass(frozen=True)
class Made:
    """What a run made: folder, record, and luma of every frame in grey levels (float32)."""

    folder: RunFolder
    predicate: dict[str, Any]
    planes: tuple[np.ndarray, ...] = field(repr=False)

    @property
    def merkle_root(self) -> str:
        """Root over the hashes of all its frames: equal for equal pixels."""
        return str(self.predicate["output"]["frames"]["merkle_root"])


class Bench:
    """Recordings, exhibits and results of one validation, each made once."""

    def __init__(self, root: Path, suite: Suite, pictures: tuple[Picture, ...]) -> None:
        make_folder(root)
        self.root, self._suite, self._pictures = root, suite, pictures
        self.workspace: Workspace = create_workspace(
            root / "bench", examiner="forensic validate", lab="validation bench", passphrase=None, origin=_ORIGIN
        )
        make_folder(root / "originals")
        self._recordings: dict[str, tuple[Simulated, ...]] = {}
        self._exhibits: dict[tuple[str, str], Exhibit] = {}
        self._made: dict[tuple[Any, ...], Made] = {}
        self.originals: dict[str, Original] = {}
        self.outputs: list[dict[str, Any]] = []
        self.models: set[str] = set()

    def close(self) -> None:
        """Release the bench's ledger."""
        self.workspace.close()

    @property
    def engines(self) -> tuple[str, ...]:
        """What computed models so far."""
        return tuple(sorted({load_card(model).engine for model in self.models}))

    def recordings(self, condition: str) -> tuple[Simulated, ...]:
        """The condition's recordings. Raises ``NotRunHere`` where it wants pictures that nobody gave."""
        asked = self._suite.conditions[condition]
        if asked.scene == OWN and len(self._pictures) < FEWEST_FOR_A_MEAN:
            raise NotRunHere(
                f"it needs at least {FEWEST_FOR_A_MEAN} pictures of the laboratory's own, and "
                f"{len(self._pictures) or 'none'} were given (--scenes DIR)"
            )
        if condition not in self._recordings:
            self._recordings[condition] = tuple(recordings(asked, self._pictures))
        return self._recordings[condition]

    def simulated(self) -> list[dict[str, object]]:
        """JSON-able: every recording that was made."""
        return [one.to_record() for made in self._recordings.values() for one in made]

    def exhibit(self, simulated: Simulated) -> Exhibit:
        """The recording, written as a file once and acquired from it."""
        key = (simulated.condition, simulated.scene)
        if key not in self._exhibits:
            number, scenes = len(self._exhibits) + 1, [one.scene for one in self.recordings(simulated.condition)]
            place = scenes.index(simulated.scene) + 1
            path = self.root / "originals" / f"{simulated.condition} {place:02d}.mkv"
            write_file(path, simulated.file)
            protect(path)
            self.originals[path.name] = Original(path, sha256_file(path), path.stat(), f"V{number:03d}")
            self._exhibits[key] = acquire(
                self.workspace, path, case=_CASE, exhibit_id=f"V{number:03d}", note=None, progress=Silent()
            )
        return self._exhibits[key]

    def decoded(self, simulated: Simulated) -> list[np.ndarray]:
        """Luma of the acquired copy, decoded as every exhibit is: grey levels, float32."""
        with SandboxedReader(self.exhibit(simulated).original) as reader:
            return [_luma(frame) for frame in reader.frames()]

    def made(
        self,
        simulated: Simulated,
        recipe: str,
        frames: tuple[int, int],
        *,
        workers: int | None = None,
        turn: int = 0,
        region: Region | None = None,
    ) -> Made:
        """``recipe`` (name or file) on ``frames`` (half-open) of the recording, through ``enhance``.

        ``workers``: None for the program's default. ``turn`` tells repetitions apart. ``region``: None for the whole
        picture. What was made before in exactly the same way is not made again. Raises whatever ``enhance`` raises.
        """
        key = (simulated.condition, simulated.scene, recipe, frames, workers, turn, region)
        if key not in self._made:
            request = EnhanceRequest(
                recipe=recipe, frames=frames, scale=simulated.recording.factor, workers=workers, purpose="validation",
                roi=region, reason=f"suite {self._suite.id} {self._suite.version}",
            )  # fmt: skip
            run = enhance(self.workspace, self.exhibit(simulated), request, Silent())
            self._made[key] = made = Made(RunFolder(run.folder), run.predicate, _planes(run))
            self.models |= {model["id"] for model in run.predicate["models"]}
            self.outputs.append(
                {
                    "condition": simulated.condition, "scene": simulated.scene, "recipe": made_name(recipe),
                    "frames": list(frames), **({} if region is None else {"region": list(region)}),
                    "workers": run.predicate["run"]["workers"], "repetition": turn,
                    "models": [{"id": one["id"], "weights_sha256": one["weights_sha256"]}
                               for one in run.predicate["models"]],
                    "merkle_root": made.merkle_root, "output_sha256": run.predicate["output"]["sha256"],
                }
            )  # fmt: skip
        return self._made[key]

    def any_run(self) -> tuple[Simulated, Made]:
        """A finished run for checks that need one and no special one: plain enlargement of two frames."""
        first = next((one for one in self._suite.conditions.values() if one.scene != OWN), None)
        if first is None:
            raise NotRunHere("it needs a run, and the suite has no condition with a drawn scene")
        simulated = self.recordings(first.id)[0]
        return simulated, self.made(simulated, "plain-lanczos", (0, min(2, first.frames)))

    def copied(self, name: str) -> Path:
        """A private copy of the bench's workspace with nothing but the run of :meth:`any_run`, to be attacked.

        It is made anew for every call; the bench itself is never touched.
        """
        source = self.root / "attacked-original"
        if not source.exists():
            self._attackable(source)
        target = self.root / f"attacked-{name}"
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(source, target)
        return target

    def _attackable(self, root: Path) -> None:
        simulated, _ = self.any_run()
        file = self.root / "originals" / "attacked.mkv"
        write_file(file, simulated.file)
        with create_workspace(root, examiner="forensic validate", lab="validation bench", passphrase=None,
                              origin=_ORIGIN) as workspace:  # fmt: skip
            exhibit = acquire(workspace, file, case=_CASE, exhibit_id="V001", note=None, progress=Silent())
            request = EnhanceRequest(recipe="plain-lanczos", frames=(0, 1), scale=simulated.recording.factor)
            enhance(workspace, exhibit, request, Silent())


def made_name(recipe: str) -> str:
    """A recipe's name as results tell it: of a file its stem."""
    return Path(recipe).stem if recipe.endswith(".toml") else recipe


def several_workers() -> int:
    """A number of workers other than one."""
    return max(_SEVERAL, os.cpu_count() or 1)


def _luma(frame: Any) -> np.ndarray:
    return np.asarray(frame.planes[0], dtype=np.float32) / np.float32(frame.geometry.layout.grey_scale)


def _planes(run: FinishedRun) -> tuple[np.ndarray, ...]:
    with SandboxedReader(RunFolder(run.folder).output) as reader:
        return tuple(_luma(frame) for frame in reader.frames())
