"""Whatever is asked: generative pixels only when every demand is met, no learned model under classical-only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forensic.frames.stageclass import StageClass
from forensic.hashes import canonical_json
from forensic.policy.acknowledgement import SENTENCE
from forensic.policy.engine import Approval, PolicyContext, PolicyDecision, StageRequest, evaluate
from forensic.policy.store import Policy, load_policy

CLASSES = [member.label for member in StageClass]
SHIPPED = {name: load_policy(name) for name in ("forensic", "classical-only", "creative")}

classes = st.sampled_from([*CLASSES, *StageClass]) | st.sampled_from(["", "GENERATIVE", "magic", 3, None])
scales = st.sampled_from([1.0, 2, 4.0, 0.5]) | st.floats() | st.integers() | st.none() | st.text(max_size=3)
digests = st.sampled_from(["a" * 64, "", "x", None])
models = st.none() | st.fixed_dictionaries(
    {"id": st.sampled_from(["m", ""]), "class": classes, "digest_verified": st.sampled_from([True, False, 1, "yes"])},
    optional={"scale": scales, "weights_sha256": digests, "card_sha256": digests, "version": st.text(max_size=3)},
)
verified = st.fixed_dictionaries(
    {
        "id": st.just("m"),
        "version": st.just("1"),
        "class": st.sampled_from(CLASSES),
        "scale": st.sampled_from([1, 2]),
        "weights_sha256": st.just("a" * 64),
        "card_sha256": st.just("b" * 64),
        "digest_verified": st.booleans(),
    }
)
requests = st.builds(
    StageRequest,
    stage=st.sampled_from(["a", "b"]) | st.text(max_size=5),
    stage_class=st.sampled_from(CLASSES) | classes,
    learned=st.booleans(),
    scale=st.just(1.0) | scales,
    model=st.none() | verified | models,
    parameters=st.dictionaries(st.text(max_size=3), st.floats() | st.integers() | st.text(max_size=3), max_size=2),
)
approvals = st.none() | st.builds(
    Approval,
    by=st.sampled_from(["Bea", "", " ", "Ann"]),
    role=st.sampled_from(["reviewer", "examiner", ""]),
    key_id=st.sampled_from(["b" * 64, "a" * 64, ""]),
    certified=st.booleans(),
)
REVIEWER = Approval("Bea", "reviewer", key_id="b" * 64)
contexts = st.builds(
    PolicyContext,
    examiner=st.sampled_from(["Ann", "Ann", "Ann", ""]),
    mode=st.sampled_from(["forensic", "creative", "creative", "", "Creative"]),
    purpose=st.sampled_from(["unstated", "identification", "comparison", "illustration", "validation", "fun"]),
    reason=st.sampled_from(["", "   ", "too short", "a reason that is long enough", "." * 40]),
    approval=approvals | st.just(REVIEWER),
    key_id=st.sampled_from(["a" * 64, "a" * 64, ""]),
    authority_pinned=st.booleans(),
    acknowledgement=st.sampled_from([SENTENCE, SENTENCE, "", SENTENCE[:-1], SENTENCE.upper(), True, None]),
    exhibit_class=st.sampled_from(["presentation", *CLASSES, "magic"]),
)


def class_after(request: StageRequest, before: int) -> int:
    """An independent reading of the lattice: an unreadable class counts as the highest."""
    declared = [request.stage_class, *([request.model.get("class")] if isinstance(request.model, dict) else [])]
    ranks = [
        int(value) if isinstance(value, StageClass) else CLASSES.index(value) if value in CLASSES else 3
        for value in declared
    ]
    return max([before, *ranks])


def judged(policy: Policy, stages: list[StageRequest], context: PolicyContext) -> PolicyDecision:
    decision = evaluate(policy, stages, context)
    assert canonical_json(decision.to_record())
    assert len(decision.verdicts) == len(stages)
    for verdict in decision.verdicts:
        assert verdict.rules and verdict.reason
        if verdict.allowed:
            assert not any(rule.id.startswith("built-in:") or rule.effect != "permit" for rule in verdict.rules)
    return decision


@pytest.fixture(scope="module")
def permissive(tmp_path_factory: pytest.TempPathFactory) -> Policy:
    file: Path = tmp_path_factory.mktemp("lab") / "permissive.cedar"
    file.write_text('@id("all") @explain("All.") permit (principal, action, resource);', "utf-8")
    return load_policy(file)


@settings(max_examples=400, deadline=None)
@given(stages=st.lists(requests, min_size=1, max_size=3), context=contexts)
def test_generative_pixels_pass_only_when_every_demand_is_met(
    stages: list[StageRequest], context: PolicyContext
) -> None:
    decisions = {name: judged(policy, stages, context) for name, policy in SHIPPED.items()}
    rank = CLASSES.index(context.exhibit_class) if context.exhibit_class in CLASSES else 3
    for number, stage in enumerate(stages):
        rank = class_after(stage, rank)
        if rank < StageClass.GENERATIVE:
            continue
        assert not decisions["forensic"].verdicts[number].allowed
        assert not decisions["classical-only"].verdicts[number].allowed
        if decisions["creative"].verdicts[number].allowed:
            assert context.mode == "creative"
            assert context.purpose in ("illustration", "validation")
            assert context.reason == "a reason that is long enough"
            given = context.approval
            assert given is not None and (given.by, given.role, given.key_id) == ("Bea", "reviewer", "b" * 64)
            assert context.key_id == "a" * 64
            assert given.certified or not context.authority_pinned
            assert context.acknowledgement == SENTENCE


@settings(max_examples=200, deadline=None)
@given(stages=st.lists(requests, min_size=1, max_size=3), context=contexts)
def test_no_policy_file_lets_generative_pixels_into_forensic_mode_or_an_unverified_model_anywhere(
    permissive: Policy, stages: list[StageRequest], context: PolicyContext
) -> None:
    decision = judged(permissive, stages, context)
    rank = CLASSES.index(context.exhibit_class) if context.exhibit_class in CLASSES else 3
    for stage, verdict in zip(stages, decision.verdicts, strict=True):
        rank = class_after(stage, rank)
        if verdict.allowed:
            assert rank < StageClass.GENERATIVE or (context.mode, context.acknowledgement) == ("creative", SENTENCE)
            model: Any = stage.model
            assert (not stage.learned and model is None) or model["digest_verified"] is True


@settings(max_examples=200, deadline=None)
@given(stages=st.lists(requests, min_size=1, max_size=3), context=contexts)
def test_classical_only_never_lets_a_learned_model_through(stages: list[StageRequest], context: PolicyContext) -> None:
    decision = judged(SHIPPED["classical-only"], stages, context)
    for stage, verdict in zip(stages, decision.verdicts, strict=True):
        assert not (verdict.allowed and (stage.learned or stage.model is not None))


@settings(max_examples=100, deadline=None)
@given(
    stage_class=st.sampled_from(["presentation", "geometric", "fidelity"]),
    scale=st.floats(min_value=0.01, max_value=4.0),
    learned=st.booleans(),
    reason=st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
)
def test_the_default_policy_does_not_stand_in_the_way_of_ordinary_work(
    stage_class: str, scale: float, learned: bool, reason: str
) -> None:
    model = {"id": "m", "version": "1", "class": stage_class, "scale": 1, "digest_verified": True}
    model |= {"weights_sha256": "a" * 64, "card_sha256": "b" * 64}
    request = StageRequest("stage", stage_class, learned, scale, model if learned else None)
    assert judged(SHIPPED["forensic"], [request], PolicyContext("Ann", reason=reason)).allowed
