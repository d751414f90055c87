"""Carrying a suite out: requirement by requirement, each by its method, each with a result whatever happens."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from forensic.case.progress import Progress
from forensic.case.validating import attacking, mapping, measuring
from forensic.case.validating.bench import Bench, NotRunHere
from forensic.errors import ForensicError, InternalError, Interrupted
from forensic.registry.cards import NOT_FETCHED
from forensic.validation.suite import Requirement, Suite
from forensic.validation.verdicts import Case, NoCase, Result

_NOT_HERE = frozenset({NOT_FETCHED, "model.engine-missing"})
_METHODS: dict[str, Callable[[Bench, Any], Sequence[Case | NoCase]]] = {
    "fidelity": measuring.fidelity,
    "temporal": measuring.temporal,
    "registration": measuring.estimation,
    "quantiser": measuring.estimation,
    "blur": measuring.estimation,
    "decoding": measuring.estimation,
    "determinism": measuring.determinism,
    "integrity": attacking.integrity,
    "tamper": attacking.tamper,
    "refusal": attacking.refusal,
    "low-present": mapping.low_present,
    "low-kept": mapping.low_kept,
    "low-planted": mapping.low_planted,
    "low-withheld": mapping.low_withheld,
}


def carry_out(bench: Bench, suite: Suite, progress: Progress) -> list[Result]:
    """A result for each requirement of ``suite``, in order.

    What the program cannot do here for want of a part that is not shipped is NOT RUN, with the reason; whatever else
    goes wrong within a requirement makes it FAIL, with code and message. A full disk, an interrupt and a defect of ours
    end the whole.
    """
    results = []
    with progress.task(f"Validating by suite {suite.id}", len(suite.requirements), "requirements") as task:
        for requirement in suite.requirements:
            results.append(_result(bench, requirement))
            judged = results[-1].judged(suite.confidence)
            progress.say(f"{requirement.id}  {judged.verdict.value:<8} {requirement.text}")
            task.advance()
    return results


def _result(bench: Bench, requirement: Requirement) -> Result:
    start = time.monotonic()
    found: Sequence[Case | NoCase] = ()
    not_run = error = None
    try:
        found = _METHODS[requirement.method.kind](bench, requirement.method)
    except NotRunHere as reason:
        not_run = str(reason)
    except (Interrupted, InternalError):
        raise
    except ForensicError as wrong:
        told = f"{wrong.code}: {wrong.message}"
        not_run, error = (told, None) if wrong.code in _NOT_HERE else (None, told)
    cases = tuple(one for one in found if isinstance(one, Case))
    none = tuple(one for one in found if isinstance(one, NoCase))
    return Result(requirement, cases, not_run, error, time.monotonic() - start, none)
