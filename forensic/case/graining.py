"""Grain of an exhibit: estimated before the run that needs it, on the record, and refused where it is no grain."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from forensic.case.ending import record_end, why_ended
from forensic.case.execution import as_acquired, open_exhibit_file
from forensic.case.exhibits import Exhibit, check_untouched
from forensic.case.plan import MadeRecipe
from forensic.case.progress import Progress
from forensic.case.workspace import Workspace
from forensic.errors import BadInput, Interrupted, UsageError
from forensic.grain.estimate import VERSION, estimate_grain
from forensic.grain.kind import Kind
from forensic.grain.parameters import GrainParameters
from forensic.grain.sampling import Picture, places
from forensic.media.opencv import opencv
from forensic.stages.grain import Grain, stage_values
from forensic.stages.grain_remove import GrainRemove
from forensic.stages.informing import informed
from forensic.stages.recipe import Recipe

ESTIMATED, FAILED = "exhibit.grain-estimated", "exhibit.grain-failed"
RULE = "pairs of consecutive frames, up to 12, evenly spaced over the first 1500 frames"
_STAGES = (GrainRemove.name, Grain.name)
_BEFORE = frozenset({"crop", "deinterlace", "follow", "annotate"})  # leave the grain as it was recorded


@dataclass(frozen=True)
class GrainFound:
    """An estimate as its entry in the ledger holds it, and the number of that entry."""

    seq: int
    data: dict[str, Any]

    @property
    def kind(self) -> Kind:
        """What was found."""
        return Kind(self.data["grain"]["kind"])

    @property
    def why(self) -> str:
        """What says so."""
        return str(self.data["grain"]["why"])

    @property
    def parameters(self) -> GrainParameters:
        """The model."""
        record = self.data["grain"]["parameters"]
        return GrainParameters(**{name: _tuples(value) for name, value in record.items()})

    def recipe(self, base: Recipe) -> Recipe:
        """``base`` with the model in its grain stages that have none.

        Raises ``BadInput`` (``grain.not-grain``) where what was found is no grain.
        """
        if not self.kind.is_grain:
            raise BadInput(
                "grain.not-grain",
                f"What this recording has is {self.kind.value}, not film grain: {self.why}.",
                "Give the grain stages a model of their own: 'forensic grain' prints what was measured as a recipe.",
            )
        values = stage_values(self.parameters)
        return informed(
            base, prefix="matched", first={}, parameters=dict.fromkeys(wants_grain(base), values),
            why="The model of the grain was estimated from the recording.",
            source=f"{base.source}, with the grain of entry {self.seq}",
        )  # fmt: skip

    def recipe_text(self) -> str:
        """A whole recipe that takes the grain out and puts made grain in its place, as a file."""
        given = json.dumps
        values = ", ".join(f"{name} = {given(value)}" for name, value in stage_values(self.parameters).items())
        noise = self.data["grain"]["kind"]
        lines = [
            f"# Written by 'forensic grain' from exhibit {self.data['exhibit']!r}: {noise}, ledger entry {self.seq}.",
            'name = "measured-grain"',
            'title = "Film grain taken out and made again"',
            f"why = {given(f'The model was estimated from the recording, which has {noise}.')}",
        ]
        for name, why in (
            (GrainRemove.name, "Takes out what has the spectrum and strength of the model."),
            (Grain.name, "Puts made grain of the same model in."),
        ):
            lines += ["", "[[stage]]", f"name = {given(name)}", f"why = {given(why)}", f"parameters = {{ {values} }}"]
        return "\n".join(lines) + "\n"


def _tuples(value: Any) -> Any:
    return tuple(_tuples(one) for one in value) if isinstance(value, list) else value


def wants_grain(recipe: Recipe) -> tuple[str, ...]:
    """Names of the recipe's grain stages that have no model, which is then estimated.

    Raises ``BadInput`` (``recipe.invalid``) where a stage before the removal changes the grain that was recorded.
    """
    wanted = []
    for number, step in enumerate(recipe.steps):
        if step.name not in _STAGES or step.parameters.get("luma_points") is not None:
            continue
        wanted.append(step.name)
        changing = [one.name for one in recipe.steps[:number] if one.name not in (*_BEFORE, *_STAGES)]
        if step.name == GrainRemove.name and changing:
            raise BadInput(
                "recipe.invalid",
                f"Stage {step.name!r} without a model stands behind {', '.join(changing)}.",
                "The model is estimated from the recording: put it first.",
            )
    return tuple(dict.fromkeys(wanted))


def with_grain(
    workspace: Workspace, exhibit: Exhibit, recipe: Recipe, made: MadeRecipe | None, progress: Progress
) -> MadeRecipe | None:
    """``recipe``, as ``made`` for the run, with the estimated model in it; ``made`` itself where it wants none.

    An estimate of the same exhibit by the same version is taken from the ledger. Raises as
    :func:`estimate_exhibit_grain` and :meth:`GrainFound.recipe`.
    """
    if not wants_grain(recipe):
        return made
    found = _known(workspace, exhibit) or estimate_exhibit_grain(workspace, exhibit, progress)
    return replace(made or MadeRecipe(recipe), recipe=found.recipe(recipe), grain=found.seq)


def _known(workspace: Workspace, exhibit: Exhibit) -> GrainFound | None:
    newest = None
    for entry in workspace.ledger.entries(event=ESTIMATED, exhibit=exhibit.id):
        if entry.data["exhibit_sha256"] == exhibit.sha256 and entry.data["grain"]["estimator_version"] == VERSION:
            newest = GrainFound(entry.seq, dict(entry.data))
    return newest


def estimate_exhibit_grain(workspace: Workspace, exhibit: Exhibit, progress: Progress) -> GrainFound:
    """Estimate the grain of ``exhibit``; ``exhibit.grain-estimated`` holds model, numbers and what they say.

    The frames follow from the exhibit's number of frames alone. Raises ``VerificationFailed`` (``exhibit.changed``,
    ``exhibit.decodes-differently``), ``UsageError`` (``grain.empty``) and as ``SandboxedReader``; each is recorded
    as ``exhibit.grain-failed``.
    """
    identity = {"case": exhibit.case, "exhibit": exhibit.id}
    asked = {"rule": RULE, "exhibit": exhibit.id, "exhibit_sha256": exhibit.sha256}
    try:
        check_untouched(workspace, exhibit)
        if not exhibit.frame_count:
            raise UsageError("grain.empty", "The exhibit has no frame.")
        opencv()  # one thread, as everywhere
        with progress.task("Looking for grain", _last(exhibit) + 1, "frames") as task:
            estimate = estimate_grain(_groups(exhibit, task))
        entry = workspace.ledger.append(ESTIMATED, {**asked, "grain": estimate.to_record()}, **identity)
    except BaseException as error:
        code, reason = why_ended(error)
        record_end(workspace.ledger, FAILED, {**asked, "code": code, "reason": reason}, error, **identity)
        if isinstance(error, KeyboardInterrupt):
            raise Interrupted("grain.cancelled", "The estimation was cancelled; that is on the record.") from None
        raise
    found = GrainFound(entry.seq, dict(entry.data))
    progress.say(f"The recording has {found.kind.value}: {found.why}")
    return found


def _last(exhibit: Exhibit) -> int:
    return min(places(exhibit.frame_count)[-1] + 1, exhibit.frame_count - 1)


def _groups(exhibit: Exhibit, task: Any) -> Iterator[Sequence[Picture]]:
    """The pairs that :func:`~forensic.grain.sampling.places` names; the one picture of a still."""
    firsts, last = set(places(exhibit.frame_count)), _last(exhibit)
    before: Picture | None = None
    with open_exhibit_file(exhibit) as reader:
        for frame in as_acquired(exhibit, exhibit.manifest(), reader.frames()):
            index = frame.timing.index
            task.advance()
            picture = Picture.of(frame.to_working()) if {index, index - 1} & firsts else None
            if picture is not None and index - 1 in firsts and before is not None:
                yield before, picture
            elif picture is not None and exhibit.frame_count == 1:
                yield (picture,)
            before = picture
            if index >= last:
                return
