"""What a run is going to do, settled and checked before the first pixel is touched."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forensic.case.approvals import terms_of, usable, use
from forensic.case.exhibits import Exhibit
from forensic.case.layout import RunFolder, WorkspaceLayout
from forensic.case.workspace import Workspace, utc_now
from forensic.errors import BadInput, InternalError, PolicyRefused, UsageError
from forensic.frames.frame import Geometry
from forensic.frames.stageclass import StageClass
from forensic.policy.acknowledgement import WITHOUT_ACKNOWLEDGEMENT
from forensic.policy.decision import PolicyDecision
from forensic.policy.engine import evaluate
from forensic.policy.request import Mode, PolicyContext, Purpose, StageRequest
from forensic.policy.store import Policy, load_policy
from forensic.registry.installed import require_usable
from forensic.risk.selection import Selection, frames_to_map
from forensic.stages.pipeline import Pipeline, PlannedStage
from forensic.stages.recipe import BoundRecipe, Recipe, load_recipe

if TYPE_CHECKING:
    from forensic.case.calibrating.citing import OwnCalibration
    from forensic.risk.calibration.artefact import Calibration

DEFAULT_RECIPE = "classic"
DEFAULT_MODE = Mode.FORENSIC
DEFAULT_POLICY = {Mode.FORENSIC: "forensic", Mode.CREATIVE: "creative"}
MOST_DEFAULT_WORKERS = 8  # each holds some 85 MB of a 1080p clip: eight stay well under 1.5 GB
_LONGEST_SIDE = 32768
_MOST_PIXELS = 1 << 28


@dataclass(frozen=True)
class EnhanceRequest:
    """What the user asked for; None where nothing was said (the plan records the default)."""

    recipe: str | None = None
    mode: str | None = None
    scale: int | None = None
    frames: tuple[int | None, int | None] | None = None
    roi: tuple[int, int, int, int] | None = None
    roi_frame: int | None = None  # the frame in which the region is marked, where it is to be tracked
    workers: int | None = None
    stills: tuple[int, ...] = ()
    reason: str | None = None
    purpose: str | None = None
    acknowledgement: str | None = None  # as typed; the policy compares it with the sentence
    question: str | None = None
    policy: str | None = None
    calibration: str | None = None  # folder of a laboratory's own
    command: tuple[str, ...] = ()

    @property
    def crop(self) -> tuple[int, int, int, int] | None:
        """The region that stays where it is; None for one that is tracked, which a stage follows."""
        return self.roi if self.roi_frame is None else None

    @property
    def range(self) -> tuple[int | None, int | None] | None:
        """The frames asked for: of a tracked region, where nothing was said, the frame in which it is marked."""
        if self.frames is None and self.roi_frame is not None:
            return self.roi_frame, self.roi_frame + 1
        return self.frames

    def to_record(self) -> dict[str, Any]:
        """JSON-able: exactly what was asked."""
        return {
            "recipe": self.recipe,
            "mode": self.mode,
            "scale": self.scale,
            "frames": None if self.frames is None else list(self.frames),
            "roi": None if self.roi is None else list(self.roi),
            "roi_frame": self.roi_frame,
            "workers": self.workers,
            "stills": list(self.stills),
            "reason": self.reason,
            "purpose": self.purpose,
            "acknowledgement": self.acknowledgement,
            "question": self.question,
            "policy": self.policy,
            "calibration": self.calibration,
            "command": list(self.command),
        }


@dataclass(frozen=True)
class MadeRecipe:
    """A recipe written for this run, and the entries of the ledger that it was made from."""

    recipe: Recipe
    survey: int | None = None
    track: int | None = None
    path: int | None = None
    grain: int | None = None
    unmeasured: tuple[str, ...] = ()

    def to_record(self) -> dict[str, int | None]:
        """JSON-able: the entries."""
        path = {} if self.path is None else {"path": self.path}
        grain = {} if self.grain is None else {"grain": self.grain}
        return {"survey": self.survey, "track": self.track, **path, **grain}


@dataclass(frozen=True)
class RunPlan:
    """A run, ready to be judged by policy and carried out."""

    run_id: str
    exhibit: Exhibit
    request: EnhanceRequest
    recipe: BoundRecipe
    pipeline: Pipeline
    source_geometry: Geometry
    output_geometry: Geometry
    frames: tuple[int, int]
    selection: Selection
    workers: int
    defaults: tuple[str, ...]
    made: MadeRecipe | None = None
    own: OwnCalibration | None = None

    @property
    def engines(self) -> tuple[str, ...]:
        """What computes the models of the stages, each engine and device once, sorted."""
        return tuple(sorted({engine for stage in self.recipe.stages for engine in stage.engines}))

    @cached_property
    def calibration(self) -> Calibration | None:
        """The risk map's calibration for exactly these stages: the laboratory's own where one was named, else the
        shipped one; None: the map is uncalibrated."""
        if self.own is not None:
            return self.own.calibration
        from forensic.risk.calibration.shelf import shipped_for  # only where pixels are worked on

        return shipped_for(self.recipe.stages)

    @cached_property
    def calibration_refused(self) -> str | None:
        """Why the calibration that the model's card names is not used; None where it is, or there is none."""
        if self.own is not None:
            return None
        from forensic.risk.calibration.shelf import refused_for

        return refused_for(self.recipe.stages)

    @property
    def mode(self) -> Mode:
        """Mode of the run: as asked, else forensic."""
        return _mode(self.request)

    @property
    def planned_class(self) -> StageClass:
        """Class that the output will carry: the highest of the exhibit's and of every stage's."""
        return max(self.exhibit.stage_class, self.pipeline.effective_class)

    def folder_in(self, layout: WorkspaceLayout) -> RunFolder:
        """The folder in which the run is made, for files of its classes."""
        return layout.incomplete_run(self.run_id).holding(self.planned_class, self.exhibit.stage_class)

    def require(self, decision: PolicyDecision) -> None:
        """Return if ``decision`` permits exactly this plan; the pixel work asks this before it begins.

        Raises ``PolicyRefused`` (``policy.denied``), and ``InternalError`` (``policy.other-plan``) if
        the decision is about other stages, classes, parameters, another mode or exhibit class.
        """
        decision.require()
        judged = [(one.stage, one.request["class"], one.request["parameters"]) for one in decision.verdicts]
        planned = [
            (stage.name, stage.effective_class.label, stage.parameters.model_dump(mode="json"))
            for stage in self.recipe.stages
        ]
        circumstances = (decision.context["mode"], decision.context["exhibit_class"])
        if (
            judged != planned
            or self.pipeline.stages != tuple(self.recipe.stages)
            or circumstances != (self.mode.value, self.exhibit.stage_class.label)
        ):
            raise InternalError("policy.other-plan", f"The policy's decision is not about the plan of {self.run_id}.")


def new_run_id() -> str:
    """Run ids sort by time and do not collide."""
    return f"R-{utc_now():%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"


def settle(
    run_id: str, exhibit: Exhibit, request: EnhanceRequest, cores: int, made: MadeRecipe | None = None
) -> RunPlan:
    """Bind recipe, ranges and geometry. Raises ``UsageError``/``BadInput`` for what cannot work.

    ``made``: the recipe, where the request has it chosen or made to follow a region.
    """
    mode = _mode(request)
    defaults = []
    if request.mode is None:
        defaults.append(f"mode: none was named, {mode.value!r} is used")
    if request.recipe is None:
        defaults.append(f"recipe: none was named, the default recipe {DEFAULT_RECIPE!r} is used")
    workers = min(cores, MOST_DEFAULT_WORKERS)
    if request.workers is None:
        defaults.append(f"workers: {workers} (by the number of processors; it does not change the output)")
    if not request.question:
        defaults.append("question asked: not stated by the examiner")
    if not request.purpose:
        defaults.append("purpose: not stated by the examiner")
    if not request.reason:
        defaults.append("reason: not stated by the examiner")
    if request.policy is None:
        defaults.append(f"policy: {DEFAULT_POLICY[mode]!r}, the default for mode {mode.value}")
    if request.frames is None:
        every = f"all {exhibit.frame_count}"
        defaults.append(f"frames: {every if request.range is None else 'the one in which the region is marked'}")
    if request.roi is None:
        defaults.append("region of interest: none was named, whole frames are processed")
    if request.scale is None:
        defaults.append("scale: none was named, the recipe's own is used")
    if not request.stills:
        defaults.append("stills and risk maps: no frame was named, the program's rule chooses (see selection)")
    recipe = load_recipe(request.recipe or DEFAULT_RECIPE) if made is None else made.recipe
    if made is not None:
        defaults += [f"recipe auto: {name} is the program's own, not measured" for name in made.unmeasured]
    bound = recipe.bind(scale=request.scale, roi=request.crop)
    return settle_bound(run_id, exhibit, request, bound, workers, tuple(defaults), made)


def settle_bound(
    run_id: str,
    exhibit: Exhibit,
    request: EnhanceRequest,
    bound: BoundRecipe,
    workers: int,
    defaults: tuple[str, ...] = (),
    made: MadeRecipe | None = None,
) -> RunPlan:
    """The plan for stages already bound (a reproduction binds those of the record)."""
    pipeline = bound.pipeline
    source = exhibit.geometry()
    output = pipeline.output_geometry(source)
    if max(output.width, output.height) > _LONGEST_SIDE or output.width * output.height > _MOST_PIXELS:
        raise BadInput(
            "output.too-large",
            f"The output would be {output.width}x{output.height} pixels.",
            "Choose a smaller --scale or a --roi.",
        )
    frames = frame_range(request.range, exhibit.frame_count)
    selection = frames_to_map(range(*frames), request.stills)
    return RunPlan(
        run_id, exhibit, request, bound, pipeline, source, output, frames, selection,
        request.workers or workers, defaults, made,
    )  # fmt: skip


def with_own_calibration(workspace: Workspace, plan: RunPlan) -> RunPlan:
    """The plan with the laboratory's calibration that it asks for. Raises as ``own_calibration``."""
    if plan.request.calibration is None:
        return plan
    from forensic.case.calibrating.citing import own_calibration

    own = own_calibration(workspace, Path(plan.request.calibration), plan.recipe.stages)
    return replace(plan, own=own)


def _mode(request: EnhanceRequest) -> Mode:
    try:
        return DEFAULT_MODE if request.mode is None else Mode(request.mode)
    except ValueError as error:
        raise UsageError(
            "mode.unknown", f"There is no mode {request.mode!r}.", "Choose --mode forensic or --mode creative."
        ) from error


def frame_range(frames: tuple[int | None, int | None] | None, count: int) -> tuple[int, int]:
    """The frames asked for, of ``count``. Raises ``UsageError`` (``frames.out-of-range``)."""
    first, stop = frames or (None, None)
    first, stop = first or 0, count if stop is None else stop
    if not 0 <= first < stop <= count:
        raise UsageError(
            "frames.out-of-range",
            f"--frames {first}:{stop} does not lie within the exhibit's {count} frames.",
            f"The range is half-open and counts from 0: 0:{count} is everything.",
        )
    return first, stop


def _stage_request(planned: PlannedStage) -> StageRequest:
    stage, model = planned.stage, None
    if stage.model is not None:
        model = require_usable(stage.model)  # raises PolicyRefused on any doubt, before the policy is even asked
        stage.require_here()
    return StageRequest(
        stage=stage.name,
        stage_class=stage.effective_class,
        learned=stage.learned,
        scale=float(planned.scale),
        model=model,
        parameters=stage.parameters.model_dump(mode="json"),
    )


def judge(workspace: Workspace, plan: RunPlan) -> tuple[Policy, PolicyDecision]:
    """Ask the policy about every stage. An unreadable policy raises ``PolicyRefused``.

    Where it refuses, the approvals that the ledger holds for exactly this plan are tried, newest first; one
    under which it permits the plan is used up by this run, on the record.
    """
    request, mode = plan.request, plan.mode
    policy = load_policy(request.policy or DEFAULT_POLICY[mode])
    if policy.schema_sha256 in WITHOUT_ACKNOWLEDGEMENT:
        raise PolicyRefused(
            "policy.old-schema", "The policy schema of this installation is that of an earlier release.",
            "Install the package again.",
        )  # fmt: skip
    actor = workspace.actor
    context = PolicyContext(
        examiner=actor.name,
        lab=str(workspace.facts["lab"]),
        role=actor.role,
        mode=mode,
        purpose=request.purpose or Purpose.UNSTATED,
        reason=request.reason or "",
        recipe=plan.recipe.recipe.name,
        exhibit_class=plan.exhibit.stage_class,
        key_id=actor.key_id,
        authority_pinned=workspace.identities.authority is not None,
        acknowledgement=request.acknowledgement or "",
    )
    refusal = decide(policy, plan, context)
    if refusal.allowed:
        return policy, refusal
    terms = terms_of(plan.exhibit, plan.recipe, mode, request.purpose, policy, plan.frames)
    for approval in usable(workspace, terms, plan.run_id):
        approved = decide(policy, plan, replace(context, approval=approval))
        if approved.allowed and use(workspace, terms, approval, plan.run_id):
            return policy, approved
        if refusal.context["approval"] is None and not approved.allowed:
            refusal = approved  # says why the approval does not do
    return policy, refusal


def decide(policy: Policy, plan: RunPlan, context: PolicyContext) -> PolicyDecision:
    """What ``policy`` says about every stage of ``plan`` in these circumstances."""
    planned = plan.pipeline.plan(plan.source_geometry)
    return evaluate(policy, [_stage_request(stage) for stage in planned], context)
