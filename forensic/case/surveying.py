"""Looking at an exhibit before anything is done to it: what was measured, on the record, and what it proposes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from math import log
from typing import Any

from forensic.case.ending import record_end, why_ended
from forensic.case.execution import as_acquired, open_exhibit_file
from forensic.case.exhibits import Exhibit, check_untouched
from forensic.case.progress import Progress
from forensic.case.workspace import Workspace
from forensic.errors import Interrupted
from forensic.estimation.estimate import Estimate
from forensic.estimation.proposal import Proposal, propose
from forensic.estimation.sampling import Observation, observations_of
from forensic.estimation.survey import Survey, survey
from forensic.frames.frame import CodedFrame
from forensic.media.quantisers import FrameCoding
from forensic.media.sandbox.reader import SandboxedReader
from forensic.stages.informing import informed, quantiser_of_step
from forensic.stages.recipe import Recipe, load_recipe, recipe_names, recipes_for_scale
from forensic.stages.refined_fusion import LEAST_BLUR, LEAST_DOUBT, MOST_BLUR, MOST_DOUBT

AUTO = "auto"
_FEWEST = 100  # frames to look at, where the exhibit has them: a selection may be short
_QUANTILE = 1.645  # of a normal law: intervals of the survey hold nine tenths
SURVEYED, FAILED = "exhibit.surveyed", "exhibit.survey-failed"


@dataclass(frozen=True)
class Surveyed:
    """A survey, what it proposes, and the number of the entry that holds both."""

    seq: int
    survey: Survey
    proposal: Proposal

    def recipe(self) -> Recipe:
        """The proposed recipe, set to what was measured."""
        proposal, quantiser = self.proposal, self.survey.quantiser
        fusion: dict[str, float] = {}
        if "psf_sigma_px" not in proposal.defaults:
            fusion["psf_sigma"] = round(min(proposal.psf_sigma, 3.0), 3)
        # Where the bitstream tells, fusion is told frame by frame (``Stage.reads_coding``), better than one mean.
        if quantiser.step is not None and quantiser.source != "bitstream":
            fusion["quantiser"] = round(quantiser_of_step(quantiser.step), 2)
        order = self.survey.interlacing.order
        fields = {"deinterlace": {"field_order": order}} if "deinterlace" in proposal.first and order else {}
        return informed(
            load_recipe(proposal.recipe),
            prefix=AUTO,
            first=fields,
            parameters={"fusion": fusion, "refined-fusion": self._refined(fusion)},
            why=" ".join(proposal.reasons),
            source=f"proposed by the survey of entry {self.seq}",
        )

    def _refined(self, fusion: dict[str, float]) -> dict[str, float]:
        """As fusion is told; the blur within what a refiner was trained with, and how far it may be off."""
        if "psf_sigma" not in fusion:
            return fusion
        told = {**fusion, "psf_sigma": min(max(fusion["psf_sigma"], LEAST_BLUR), MOST_BLUR)}
        width = self.survey.point_spread.width
        if isinstance(width, Estimate) and width.bound is None and 0.0 < width.low < width.high:
            spread = log(width.high / width.low) / (2 * _QUANTILE)
            told["blur_error"] = round(min(max(spread, LEAST_DOUBT), MOST_DOUBT), 2)
        return told


class _Checked:
    """A reader whose frames are compared with the acquisition's, in the form that the survey takes."""

    def __init__(self, exhibit: Exhibit, reader: SandboxedReader) -> None:
        self._exhibit, self._reader = exhibit, reader

    @property
    def coding(self) -> FrameCoding | None:
        """How the frame given out last was coded."""
        return self._reader.coding

    def frames(self) -> Iterator[CodedFrame]:
        """Every frame."""
        return as_acquired(self._exhibit, self._exhibit.manifest(), self._reader.frames())


def survey_exhibit(
    workspace: Workspace, exhibit: Exhibit, frames: tuple[int, int], progress: Progress, scale: int | None = None
) -> Surveyed:
    """Survey the frames ``frames`` (half-open) of ``exhibit``; ``exhibit.surveyed`` holds all of it.

    A short selection is widened to 100 frames around it, as far as there are any. Where a ``scale`` is asked for, a
    recipe that can do it is proposed. Raises ``VerificationFailed``
    (``exhibit.changed``, ``exhibit.decodes-differently``) and as ``SandboxedReader``; each is recorded
    (``exhibit.survey-failed``).
    """
    identity = {"case": exhibit.case, "exhibit": exhibit.id}
    try:
        check_untouched(workspace, exhibit)
        first, stop = _widened(*frames, exhibit.frame_count)
        with (
            open_exhibit_file(exhibit, coding=True) as reader,
            progress.task("Surveying", stop, "frames") as task,
        ):

            def counted() -> Iterator[Observation]:
                for one in observations_of(_Checked(exhibit, reader)):
                    task.advance()
                    yield one

            found = survey(islice(counted(), first, stop), reader.facts)
        proposal = propose(found, recipe_names() if scale is None else recipes_for_scale(scale), scale)
        data: dict[str, Any] = {
            "frames": [first, stop], "survey": found.to_record(), "proposal": proposal.to_record(),
        }  # fmt: skip
        entry = workspace.ledger.append(SURVEYED, data, **identity)
    except BaseException as error:
        code, reason = why_ended(error)
        data = {"frames": list(frames), "code": code, "reason": reason}
        record_end(workspace.ledger, FAILED, data, error, **identity)
        if isinstance(error, KeyboardInterrupt):
            raise Interrupted("survey.cancelled", "The survey was cancelled; that is on the record.") from None
        raise
    if "deinterlace" in proposal.first and found.interlacing.order is None:
        progress.say("The pictures are interlaced, but which field is first was not found: nothing deinterlaces them.")
    for sentence in (*proposal.reasons, *proposal.cautions):
        progress.say(sentence)
    progress.say(f"Proposed recipe: {proposal.recipe}")
    return Surveyed(entry.seq, found, proposal)


def _widened(first: int, stop: int, count: int) -> tuple[int, int]:
    missing = max(0, _FEWEST - (stop - first))
    first = max(0, min(first - missing // 2, count - _FEWEST))
    return first, min(count, max(stop, first + _FEWEST))
