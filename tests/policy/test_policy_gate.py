"""Attacks on the gate: what is asked, and what a policy file may and may not do."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cedarpy
import pytest

from forensic.errors import ExitCode, PolicyRefused
from forensic.frames.stageclass import StageClass
from forensic.hashes import canonical_json
from forensic.policy.acknowledgement import FIRST_SCHEMA_SHA256, SENTENCE, WITHOUT_ACKNOWLEDGEMENT
from forensic.policy.engine import Approval, PolicyContext, PolicyDecision, StageRequest, evaluate
from forensic.policy.store import Policy, load_policy

PERMISSIVE = '@id("everything") @explain("Everything is permitted.") permit (principal, action, resource);'
ANN = PolicyContext("Ann Examiner", lab="Lab", role="examiner", recipe="classic")
CREATIVE = PolicyContext(
    "Ann Examiner",
    mode="creative",
    purpose="illustration",
    reason="Picture for a museum exhibition.",
    approval=Approval("Bea Head", role="reviewer", key_id="b" * 64),
    key_id="a" * 64,
    acknowledgement=SENTENCE,
)


def model(**changes: Any) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "id": "luma-residual-x2",
        "version": "1",
        "class": "fidelity",
        "scale": 2,
        "weights_sha256": "a" * 64,
        "card_sha256": "b" * 64,
        "precision": "float32",
        "licence": "Apache-2.0",
        "parameters": 65_000,
        "digest_verified": True,
    }
    return facts | changes


def ask(policy: Policy | str, context: PolicyContext, *requests: StageRequest) -> PolicyDecision:
    loaded = load_policy(policy) if isinstance(policy, str) else policy
    decision = evaluate(loaded, requests, context)
    assert canonical_json(decision.to_record()), "every decision fits into the ledger"
    assert len(decision.verdicts) == len(requests)
    return decision


def rules(decision: PolicyDecision, stage: int = 0) -> set[str]:
    return {rule.id for rule in decision.verdicts[stage].rules}


CROP = StageRequest("crop", StageClass.GEOMETRIC, False)
DEBLOCK = StageRequest("deblock", StageClass.FIDELITY, False, parameters={"strength": 0.5})
LEARNED = StageRequest("luma-residual", StageClass.FIDELITY, True, 2.0, model())
GENERATIVE = StageRequest("invent", StageClass.GENERATIVE, False, 2.0)


def test_the_default_policy_permits_classical_and_learned_fidelity_stages() -> None:
    decision = ask("forensic", ANN, CROP, DEBLOCK, LEARNED)
    decision.require()
    assert decision.allowed
    assert [rules(decision, n) for n in range(3)] == [{"classical-stages"}] * 2 + [{"learned-fidelity-stages"}]
    assert decision.verdicts[0].reason.startswith("permitted by classical-stages. Stages without a learned model")


def test_classical_only_permits_no_learned_model_even_one_that_denies_being_learned() -> None:
    assert ask("classical-only", ANN, CROP, DEBLOCK).allowed
    assert "no-learned-model" in rules(ask("classical-only", ANN, LEARNED))
    disguised = StageRequest("resize", StageClass.FIDELITY, False, 2.0, model())
    assert "no-learned-model" in rules(ask("classical-only", ANN, disguised))


def test_a_permissive_policy_file_still_permits_nothing_generative_in_forensic_mode(
    lab_policy: Callable[[str], Policy],
) -> None:
    decision = ask(lab_policy(PERMISSIVE), ANN, GENERATIVE)
    assert not decision.allowed
    assert rules(decision) == {"built-in:generative-needs-creative-mode", "everything"}
    assert decision.verdicts[0].reason.startswith("refused by built-in:generative-needs-creative-mode. ")


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(StageRequest("x", "omniscient", False), id="unknown class"),
        pytest.param(StageRequest("x", "Fidelity", False), id="class in capitals"),
        pytest.param(StageRequest("x", "", False), id="empty class"),
        pytest.param(StageRequest("x", 2, False), id="class as a number"),  # type: ignore[arg-type]
        pytest.param(StageRequest("x", None, False), id="no class"),  # type: ignore[arg-type]
        pytest.param(StageRequest("x", "fidelity", True, 2.0, model(**{"class": "magic"})), id="unknown model class"),
    ],
)
def test_an_unknown_class_is_denied(lab_policy: Callable[[str], Policy], request_: StageRequest) -> None:
    assert "built-in:unknown-class" in rules(ask(lab_policy(PERMISSIVE), ANN, request_))


@pytest.mark.parametrize(
    "facts",
    [
        pytest.param(None, id="no card"),
        pytest.param({}, id="empty card"),
        pytest.param(model(digest_verified=False), id="not verified"),
        pytest.param(model(digest_verified=None), id="verification not said"),
        pytest.param(model(digest_verified="true"), id="verification as text"),
        pytest.param(model(digest_verified=1), id="verification as a number"),
        pytest.param(model(weights_sha256=""), id="no digest"),
        pytest.param(model(weights_sha256="A" * 64), id="digest in capitals"),
        pytest.param(model(weights_sha256="a" * 63), id="short digest"),
        pytest.param(model(card_sha256=None), id="card without digest"),
        pytest.param(model(id=""), id="no id"),
        pytest.param(model(scale=float("nan")), id="scale that is no number"),
        pytest.param("a card", id="card that is text"),
    ],
)
def test_a_learned_stage_without_a_verified_model_is_denied_under_any_policy(
    lab_policy: Callable[[str], Policy], facts: Any
) -> None:
    request = StageRequest("net", StageClass.FIDELITY, True, 2.0, facts)
    for policy in (lab_policy(PERMISSIVE), "forensic", "classical-only", "creative"):
        decision = ask(policy, ANN, request)
        assert not decision.allowed
        assert rules(decision) & {"built-in:unverified-model", "built-in:unknown-class"}


def test_a_stage_that_declares_less_than_its_model_is_denied(lab_policy: Callable[[str], Policy]) -> None:
    forged = StageRequest("resize", StageClass.GEOMETRIC, True, 2.0, model(**{"class": "fidelity"}))
    assert "built-in:class-below-model" in rules(ask(lab_policy(PERMISSIVE), ANN, forged))
    smuggled = StageRequest("net", StageClass.FIDELITY, True, 2.0, model(**{"class": "generative"}))
    found = rules(ask(lab_policy(PERMISSIVE), CREATIVE, smuggled))
    assert "built-in:class-below-model" in found
    found = rules(ask(lab_policy(PERMISSIVE), ANN, smuggled))
    assert {"built-in:class-below-model", "built-in:generative-needs-creative-mode"} <= found
    raised = StageRequest("net", StageClass.FIDELITY, True, 2.0, model(**{"class": "geometric"}))
    assert ask("forensic", ANN, raised).allowed


def test_taint_follows_the_pixels_along_the_recipe_and_from_the_exhibit() -> None:
    after = ask("creative", ANN, CROP, GENERATIVE, CROP)
    assert [verdict.allowed for verdict in after.verdicts] == [True, False, False]
    assert "built-in:generative-needs-creative-mode" in rules(after, 2)
    tainted = PolicyContext("Ann", exhibit_class="generative")
    assert "built-in:generative-needs-creative-mode" in rules(ask("forensic", tainted, CROP))
    assert ask("creative", CREATIVE, CROP, GENERATIVE, CROP).allowed


def test_a_stage_after_one_that_cannot_be_judged_is_denied_too(lab_policy: Callable[[str], Policy]) -> None:
    decision = ask(lab_policy(PERMISSIVE), ANN, StageRequest("x", "unheard-of", False), CROP)
    assert [verdict.allowed for verdict in decision.verdicts] == [False, False]
    assert "cannot be judged" in decision.verdicts[1].reason


@pytest.mark.parametrize("scale", [0, -2, float("nan"), float("inf"), 1e300, True, "2", None, 10**400])
def test_a_scale_that_cannot_be_measured_is_denied(lab_policy: Callable[[str], Policy], scale: Any) -> None:
    decision = ask(lab_policy(PERMISSIVE), ANN, StageRequest("resize", "geometric", False, scale))
    assert rules(decision) == {"built-in:malformed-request"}


def test_the_enlargement_limit_cannot_be_evaded() -> None:
    def net(scale: float, own: float) -> StageRequest:
        return StageRequest("net", "fidelity", True, scale, model(scale=own))

    def resize(scale: float) -> StageRequest:
        return StageRequest("resize", "geometric", False, scale)

    assert ask("forensic", ANN, net(4.0, 4)).allowed
    assert ask("forensic", ANN, net(2.0, 2), net(2.0, 2)).allowed
    assert ask("forensic", ANN, net(2.0, 2), resize(4.0)).allowed
    assert ask("forensic", ANN, resize(1440 / 1080), resize(3.0), resize(2.0)).allowed
    for recipe in (
        [net(4.0001, 4)],
        [net(4.0, 4), net(4.0, 4)],  # in two steps
        [net(4.0, 4), resize(0.25), net(4.0, 4)],  # shrinking in between
        [net(1.0, 16)],  # a model of ×16 that shrinks its own output
        [resize(2.0), net(4.0, 4)],
    ):
        decision = ask("forensic", ANN, *recipe)
        assert "enlargement-limit" in rules(decision, len(recipe) - 1)
    for excess in (8.0001, 8.00001, 8.0000001):  # rounded up, never down
        assert "enlargement-limit" in rules(ask("forensic", ANN, resize(excess)))


def test_a_computed_factor_that_misses_its_value_by_rounding_is_no_excess() -> None:
    assert 5 / 3 * 4.8 >= 8
    steps = [StageRequest("resize", "geometric", False, scale) for scale in (5 / 3, 4.8)]
    assert ask("forensic", ANN, *steps).allowed


@pytest.mark.parametrize("parameters", [{"sigma": float("nan")}, {"sigma": float("inf")}, {"\ud800": 1}, ["sigma"]])
def test_a_parameter_that_is_no_number_is_denied(lab_policy: Callable[[str], Policy], parameters: Any) -> None:
    request = StageRequest("blur", "fidelity", False, 1.0, None, parameters)
    assert rules(ask(lab_policy(PERMISSIVE), ANN, request)) == {"built-in:malformed-request"}


def test_a_laboratory_can_limit_a_numeric_parameter(lab_policy: Callable[[str], Policy]) -> None:
    policy = lab_policy(
        PERMISSIVE + '@id("gentle") @explain("Strength is at most 10.") forbid (principal, action, resource) when '
        '{ resource.hasTag("strength") && resource.getTag("strength").greaterThan(decimal("10.0")) };'
    )
    for strength, allowed in ((10, True), (10.001, False), (2**70, False), (-(2**70), True), (True, True)):
        request = StageRequest(
            "nlm", "fidelity", False, 1.0, None, {"strength": strength, "kind": "fast", "big": 2**63}
        )
        assert ask(policy, ANN, request).allowed is allowed


@pytest.mark.parametrize(
    ("name", "key", "own", "second"),
    [
        ("Bea", "b" * 64, "a" * 64, True),
        ("Ann Examiner", "b" * 64, "a" * 64, False),
        (" ann EXAMINER. ", "b" * 64, "a" * 64, False),
        ("Ann\u200bExaminer", "b" * 64, "a" * 64, False),
        ("Bea", "a" * 64, "a" * 64, False),
        ("Bea", "", "a" * 64, False),
        ("Bea", "b" * 64, "", False),
        ("Bea", "", "", False),
    ],
)
def test_a_second_person_has_another_key_and_another_name(
    lab_policy: Callable[[str], Policy], name: str, key: str, own: str, second: bool
) -> None:
    policy = lab_policy(
        '@id("four-eyes") @explain("A second person approves.") permit (principal, action, resource) when '
        "{ context has approval && context.approval.secondPerson };"
    )
    context = PolicyContext("Ann Examiner", approval=Approval(name, key_id=key), key_id=own)
    assert ask(policy, context, CROP).allowed is second
    assert not ask(policy, ANN, CROP).allowed


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"mode": "Creative"}, "built-in:unknown-mode"),
        ({"mode": ""}, "built-in:unknown-mode"),
        ({"mode": None}, "built-in:unknown-mode"),
        ({"purpose": "fun"}, "built-in:unknown-purpose"),
        ({"exhibit_class": "original"}, "built-in:unknown-class"),
        ({"examiner": "  "}, "built-in:no-examiner"),
        ({"examiner": "\u200b\u3164"}, "built-in:no-examiner"),
        ({"examiner": None}, "built-in:malformed-request"),
        ({"lab": "\ud800"}, "built-in:malformed-request"),
        ({"approval": True}, "built-in:malformed-request"),
        ({"reason": 5}, "built-in:malformed-request"),
    ],
)
def test_circumstances_that_cannot_be_judged_are_denied(
    lab_policy: Callable[[str], Policy], changes: dict[str, Any], rule: str
) -> None:
    context = PolicyContext(**{"examiner": "Ann"} | changes)
    assert rules(ask(lab_policy(PERMISSIVE), context, CROP)) == {rule}


def test_no_permit_means_denied_by_default(lab_policy: Callable[[str], Policy]) -> None:
    policy = lab_policy('@id("only") @explain("Only x.") permit (principal, action, resource == Stage::"x");')
    decision = ask(policy, ANN, CROP)
    assert rules(decision) == {"built-in:default-deny"}
    assert ask(policy, ANN, StageRequest("x", "geometric", False)).allowed


def test_an_empty_recipe_is_not_permitted() -> None:
    decision = ask("forensic", ANN)
    assert not decision.allowed
    with pytest.raises(PolicyRefused, match="without any stage"):
        decision.require()


def test_a_prohibition_that_fails_to_evaluate_denies_though_cedar_would_allow(
    lab_policy: Callable[[str], Policy],
) -> None:
    policy = lab_policy(
        PERMISSIVE + '@id("broken") @explain("Overflows.") forbid (principal, action, resource) when '
        "{ context.reasonLength + 9223372036854775807 > 5 };"
    )
    context = PolicyContext("Ann", reason="a reason")
    decision = ask(policy, context, CROP)
    assert not decision.allowed
    assert "built-in:evaluation-error" in rules(decision)
    question = decision.verdicts[0].cedar
    assert question is not None
    alone = cedarpy.is_authorized(question["request"], policy.text, question["entities"], policy.schema_text)
    assert alone.allowed, "Cedar itself skips the failing prohibition: this is what the engine guards against"


def test_a_policy_made_by_hand_without_validation_is_denied() -> None:
    good = load_policy("forensic")
    for text in ("permit (", "", 'permit (principal, action, resource) when { resource.foo == "x" };'):
        forged = Policy("forged", "file", text, good.sha256, good.schema_text, good.schema_sha256, ())
        assert not ask(forged, ANN, CROP).allowed
    stripped = Policy("forged", "file", good.text, good.sha256, good.schema_text, good.schema_sha256, ())
    assert "built-in:evaluation-error" in rules(ask(stripped, ANN, CROP))


def test_creative_mode_under_the_default_policy_is_refused_with_the_way_out() -> None:
    decision = ask("forensic", CREATIVE, CROP, GENERATIVE)
    assert "forensic-mode-only" in rules(decision, 0)
    with pytest.raises(PolicyRefused, match="--policy creative") as caught:
        decision.require()
    assert caught.value.code == "policy.denied"
    assert caught.value.exit_code is ExitCode.REFUSED
    assert "'invent'" in caught.value.message and "no-generative-pixels" in caught.value.message


def test_creative_permits_a_generative_stage_when_every_demand_is_met() -> None:
    assert rules(ask("creative", CREATIVE, GENERATIVE)) == {"generative-on-request"}
    learned = StageRequest("diffusion", "generative", True, 4.0, model(**{"class": "generative"}, scale=4))
    assert ask("creative", CREATIVE, learned).allowed
    assert ask("creative", CREATIVE, CROP, LEARNED).allowed


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"mode": "forensic"}, "generative-needs-creative-mode"),
        ({"reason": ""}, "generative-needs-reason"),
        ({"reason": " \t\n" * 20}, "generative-needs-reason"),
        ({"reason": "........................"}, "generative-needs-reason"),
        ({"reason": "\u200b\u2060\u3164\u2800\u115f" * 20}, "generative-needs-reason"),
        ({"reason": "because"}, "generative-needs-reason"),
        ({"approval": None}, "generative-needs-approval"),
        ({"approval": Approval(" ", "reviewer", key_id="b" * 64)}, "generative-needs-approval"),
        ({"approval": Approval("Bea Head", "examiner", key_id="b" * 64)}, "generative-needs-approval"),
        ({"approval": Approval("Bea Head", key_id="b" * 64)}, "generative-needs-approval"),
        ({"approval": Approval("Ann Examiner", "reviewer", key_id="b" * 64)}, "generative-needs-second-person"),
        ({"approval": Approval("Bea Head", "reviewer", key_id="a" * 64)}, "generative-needs-second-person"),
        ({"approval": Approval("Bea Head", "reviewer")}, "generative-needs-second-person"),
        ({"authority_pinned": True}, "generative-needs-certified-reviewer"),
        ({"acknowledgement": ""}, "generative-needs-acknowledgement"),
        ({"acknowledgement": SENTENCE.removesuffix(" anyone or anything.")}, "generative-needs-acknowledgement"),
        ({"acknowledgement": SENTENCE.casefold()}, "built-in:generative-needs-acknowledgement"),
        ({"acknowledgement": "I understand that this result is evidence."}, "generative-needs-acknowledgement"),
        ({"acknowledgement": SENTENCE + " yes"}, "built-in:generative-needs-acknowledgement"),
        ({"acknowledgement": "yes"}, "built-in:generative-needs-acknowledgement"),
        ({"acknowledgement": True}, "built-in:malformed-request"),
        ({"purpose": "identification"}, "generative-never-identifies"),
        ({"purpose": "comparison"}, "generative-never-identifies"),
        ({"purpose": "evidence"}, "generative-never-identifies"),
        ({"purpose": "investigation"}, "generative-never-identifies"),
        ({"purpose": "unstated"}, "generative-never-identifies"),
    ],
)
def test_creative_refuses_a_generative_stage_with_one_demand_unmet(changes: dict[str, Any], rule: str) -> None:
    context = PolicyContext(**{**CREATIVE.__dict__, **changes})
    decision = ask("creative", context, GENERATIVE)
    assert not decision.allowed
    assert rule in rules(decision)


def test_a_reviewer_whom_the_pinned_authority_certified_may_approve() -> None:
    approval = Approval("Bea Head", "reviewer", key_id="b" * 64, certified=True)
    context = PolicyContext(**{**CREATIVE.__dict__, "approval": approval, "authority_pinned": True})
    assert ask("creative", context, GENERATIVE).allowed


def test_only_blanks_and_line_ends_of_the_acknowledgement_may_differ() -> None:
    typed = "  " + SENTENCE.replace(" not ", "\n not\t")
    decision = ask("creative", PolicyContext(**{**CREATIVE.__dict__, "acknowledgement": typed}), GENERATIVE)
    assert decision.allowed
    assert decision.to_record()["context"]["acknowledgement"] == typed


def test_a_laboratory_s_own_policy_that_never_heard_of_it_is_held_to_the_acknowledgement(
    lab_policy: Callable[[str], Policy],
) -> None:
    policy = lab_policy(PERMISSIVE)
    assert ask(policy, CREATIVE, CROP, GENERATIVE).allowed
    silent = PolicyContext(**{**CREATIVE.__dict__, "acknowledgement": ""})
    refused = ask(policy, silent, CROP, GENERATIVE, CROP)
    assert [verdict.allowed for verdict in refused.verdicts] == [True, False, False]
    assert "built-in:generative-needs-acknowledgement" in rules(refused, 1) & rules(refused, 2)
    assert SENTENCE in refused.verdicts[1].remedy
    assert ask("creative", PolicyContext("Ann", mode="creative"), CROP).allowed, "nothing generative, nothing asked"


def test_the_shipped_policy_quotes_the_sentence_and_the_schema_is_the_present_one() -> None:
    policy = load_policy("creative")
    (rule,) = (rule for rule in policy.rules if rule.id == "generative-needs-acknowledgement")
    assert rule.remedy.endswith(SENTENCE)
    assert policy.schema_sha256 not in WITHOUT_ACKNOWLEDGEMENT


def test_the_refusal_names_the_command_that_helps() -> None:
    context = PolicyContext(**{**CREATIVE.__dict__, "approval": None})
    verdict = ask("creative", context, GENERATIVE).verdicts[0]
    assert "forensic approve EXHIBIT" in verdict.remedy


def test_a_policy_with_the_schema_of_the_first_release_is_still_judged_by_it(tmp_path: Path) -> None:
    """Runs of 0.1.0 hold their policy and schema, which knew names only; they must stay reproducible."""
    released = Path(__file__).parents[1] / "compat" / "0.1.0" / "workspace.tar.xz"
    with tarfile.open(released) as archive:
        for member in archive.getmembers():
            name = Path(member.name).name
            if name in ("policy.cedar", "policy.cedarschema"):
                data = archive.extractfile(member)
                assert data is not None
                target = "old.cedar" if name == "policy.cedar" else "schema.cedarschema"
                (tmp_path / target).write_bytes(data.read())
    old = load_policy("old", tmp_path)
    assert old.schema_sha256 == FIRST_SCHEMA_SHA256
    decision = ask(old, ANN, CROP)
    assert decision.allowed
    assert "authorityPinned" not in json.dumps(decision.to_record()["stages"])


def test_the_record_holds_what_is_needed_to_ask_cedar_again() -> None:
    policy = load_policy("forensic")
    record = json.loads(canonical_json(ask(policy, ANN, LEARNED, GENERATIVE).to_record()))
    assert record["allowed"] is False
    assert record["policy"]["sha256"] == policy.sha256
    assert record["context"]["examiner"] == "Ann Examiner"
    for stage, expected in zip(record["stages"], (True, False), strict=True):
        question = stage["cedar"]
        answer = cedarpy.is_authorized(question["request"], policy.text, question["entities"], policy.schema_text)
        assert answer.allowed is expected
        named = {policy.rules[int(reason.removeprefix("policy"))].id for reason in answer.diagnostics.reasons}
        assert named == {rule["id"] for rule in stage["rules"] if not rule["id"].startswith("built-in:")}


def test_the_record_is_the_same_every_time() -> None:
    records = {canonical_json(ask("forensic", ANN, CROP, LEARNED, DEBLOCK).to_record()) for _ in range(3)}
    assert len(records) == 1


def test_names_that_try_to_break_out_of_the_request_stay_names(lab_policy: Callable[[str], Policy]) -> None:
    policy = lab_policy('@id("ann") @explain("Ann.") permit (principal == Examiner::"Ann", action, resource);')
    for name in ('Ann"', 'Ann", action, resource); permit(principal', "Ann\n", "Ann\x00", "Аnn", 'x" || true || "'):
        assert not ask(policy, PolicyContext(name), CROP).allowed
    assert ask(policy, PolicyContext("Ann"), CROP).allowed
