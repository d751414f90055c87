"""What the engine says in words: the verdict, the rules, and what would have to change."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

from forensic.frames.stageclass import StageClass
from forensic.policy.acknowledgement import SENTENCE
from forensic.policy.engine import Approval, PolicyContext, StageRequest
from forensic.policy.explain import explain, highest_class
from forensic.policy.store import Policy, load_policy

ANN = PolicyContext("Ann")
GENERATIVE = StageRequest("invent", StageClass.GENERATIVE, False, 2.0)
MODEL = {"id": "m", "version": "1", "class": "fidelity", "scale": 2, "licence": "Apache-2.0"}
MODEL |= {"weights_sha256": "a" * 64, "card_sha256": "b" * 64, "digest_verified": False}


def test_a_permission_is_explained_with_the_rule_and_its_text() -> None:
    policy = load_policy("forensic")
    text = explain(policy, StageRequest("crop", "geometric", False), ANN)
    assert "stage crop is PERMITTED" in text
    assert "classical-stages (permit)" in text and "!resource.learned" in text
    assert policy.sha256 in text
    assert "have to change" not in text


def test_a_refusal_says_everything_that_would_have_to_change() -> None:
    text = explain(load_policy("creative"), GENERATIVE, ANN)
    assert "REFUSED" in text
    change = next(line for line in text.splitlines() if "All of these together" in line)
    for demand in ("the mode is creative", "purpose truly is illustration", "written reason", "second person approves",
                   f"typed in full: {SENTENCE!r}"):  # fmt: skip
        assert demand in change
    assert "scale" not in change


def test_only_the_missing_demand_is_named() -> None:
    approval = Approval("Bea", "reviewer", key_id="b" * 64)
    context = PolicyContext(
        "Ann", mode="creative", purpose="validation", approval=approval, key_id="a" * 64, acknowledgement=SENTENCE
    )
    text = explain(load_policy("creative"), GENERATIVE, context)
    assert "This alone: a written reason, long enough for the policy, is given." in text
    unverified = StageRequest("net", "fidelity", True, 2.0, MODEL)
    assert "This alone: the model's weights match its card." in explain(load_policy("forensic"), unverified, ANN)
    large = StageRequest("resize", "geometric", False, 16.0)
    assert "This alone: the scale is 8 or less." in explain(load_policy("forensic"), large, ANN)


def test_where_nothing_helps_the_explanation_says_so() -> None:
    text = explain(load_policy("forensic"), GENERATIVE, ANN)
    assert "Nothing that an examiner states" in text
    assert "policy creative" in text


def test_an_unknown_class_and_a_model_that_is_no_card_are_explained_without_failing() -> None:
    assert "built-in:unknown-class" in explain(load_policy("forensic"), StageRequest("x", "magic", False), ANN)
    broken = StageRequest("x", "fidelity", True, 2.0, "card")  # type: ignore[arg-type]
    assert "built-in:unverified-model" in explain(load_policy("forensic"), broken, ANN)


def test_an_explanation_cannot_steer_the_terminal() -> None:
    hostile = StageRequest("\x1b[2J\u202ex", "geo\x1b[1mmetric", False)
    text = explain(load_policy("forensic"), hostile, PolicyContext("\x1b[0m"))
    assert all(character.isprintable() or character == "\n" for character in text)


def test_the_highest_class_of_a_policy_is_found_by_trial(lab_policy: Callable[[str], Policy]) -> None:
    assert highest_class(load_policy("forensic")) is StageClass.FIDELITY
    assert highest_class(load_policy("classical-only")) is StageClass.FIDELITY
    assert highest_class(load_policy("creative")) is StageClass.GENERATIVE
    nothing = lab_policy('@id("no") @explain("Nothing.") forbid (principal, action, resource);')
    assert highest_class(nothing) is None


def test_the_gate_needs_neither_a_model_runtime_nor_a_decoder() -> None:
    program = (
        "import sys, forensic.policy.explain\nprint({'torch', 'cv2', 'av', 'numpy', 'sqlalchemy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
