"""Rules of the program itself. They deny whatever a policy file says; no policy can switch them off.

A policy file is written by people and can be wrong or be replaced. What may never happen is
therefore not left to it: these rules only ever deny, and they stand in the record under names of
their own, which no policy file can use.
"""

from __future__ import annotations

from forensic.policy.acknowledgement import SENTENCE
from forensic.policy.decision import RuleRef


def _forbid(name: str, explanation: str, remedy: str) -> RuleRef:
    return RuleRef(f"built-in:{name}", "forbid", explanation, remedy)


GENERATIVE_NEEDS_CREATIVE_MODE = _forbid(
    "generative-needs-creative-mode",
    "Forensic mode never permits generative pixels, whatever a policy file says.",
    "Use stages of fidelity class or below, or creative mode for an output that is no evidence.",
)
GENERATIVE_NEEDS_ACKNOWLEDGEMENT = _forbid(
    "generative-needs-acknowledgement",
    "Generative pixels are refused, whatever a policy file says, unless whoever asks for them has typed the "
    "acknowledgement in full.",
    f"Type it in full after --acknowledge: {SENTENCE}",
)
UNKNOWN_CLASS = _forbid(
    "unknown-class",
    "The class of the stage, its model or the exhibit is none of presentation, geometric, fidelity, generative.",
    "Correct the declaration; a class is never guessed.",
)
UNKNOWN_MODE = _forbid(
    "unknown-mode", "The mode is neither forensic nor creative.", "Choose --mode forensic or --mode creative."
)
UNKNOWN_PURPOSE = _forbid(
    "unknown-purpose",
    "The purpose is not one that policies know.",
    "State one of: unstated, investigation, evidence, identification, comparison, illustration, validation.",
)
NO_EXAMINER = _forbid("no-examiner", "Nobody is named who answers for this run.", "Name the examiner.")
UNVERIFIED_MODEL = _forbid(
    "unverified-model",
    "A learned stage is refused unless its model's facts are complete and its weights match the digest on the card.",
    "Check the model with 'forensic models verify' and restore the weights that belong to the card.",
)
CLASS_BELOW_MODEL = _forbid(
    "class-below-model",
    "A stage is refused that declares a lower class than the model it uses: a class is never lowered.",
    "Declare the stage with at least the class of its model.",
)
MALFORMED_REQUEST = _forbid(
    "malformed-request",
    "The request holds a value that cannot be judged, such as a scale that is no positive number.",
    "Correct the value.",
)
EVALUATION_ERROR = _forbid(
    "evaluation-error",
    "The policy could not be evaluated without error, and a rule that fails might have been a prohibition.",
    "Correct the policy file, or choose another policy.",
)
DEFAULT_DENY = _forbid(
    "default-deny",
    "No rule of the policy permits this, and what no rule permits is refused.",
    "See 'forensic policy show' for what the policy permits.",
)
