"""Methods, criteria and results of a validation in words and numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from forensic.report.fonts import BOLD
from forensic.report.theme import CAUTION, WARNING
from forensic.report.typeset import Span
from forensic.report.values import at, spoken
from forensic.report.wording import validation as say

_UNITS = {
    "psnr-y": "dB", "psnr-b": "dB", "edge-overshoot": "grey levels", "block-steps": "grey levels²",
    "mosquito": "grey levels²", "t-of": "px", "warping-error": "grey levels", "flicker": "grey levels",
    "registration": "px", "quantiser": "QP", "decoding": "samples", "low-planted": "tiles",
}  # fmt: skip
_DIGITS = 4


def number(value: Any) -> str:
    """Four significant digits, or three after the point where that is more; a dash for none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "–"
    if float(value).is_integer() and abs(value) < 1e6:
        return str(int(value))
    return f"{value:.2f}" if abs(value) >= 10 else f"{value:.{_DIGITS}g}" if abs(value) < 0.1 else f"{value:.3f}"


def unit_of(method: Any) -> str:
    """Unit of the values of a requirement; empty for yes and no, and for shares."""
    return _UNITS.get(str(at(method, "metric") or at(method, "kind")), "")


def method_of(method: Mapping[str, Any]) -> str:
    """How a requirement is measured, in one line."""
    fields = {key: str(value) for key, value in method.items()}
    kind = fields["kind"]
    if "metric" in fields:
        fields["metric"] = say("metrics", fields["metric"])
    if "variant" in fields:
        fields["variant"] = say("variant", fields["variant"])
    for key in ("check", "target", "attempt"):
        if key in fields:
            fields[key] = fields[key].replace("-", " ")
    if kind.startswith("low-"):
        region = method.get("region")
        fields["part"] = str(say("map", "region")).format(*region) if region else str(say("map", "whole"))
        fields["expect"] = str(say("map", fields["expect"])) if "expect" in fields else ""
    text = str(say("method", kind)).format(**fields)
    return text + str(say("method", "against")).format(**fields) if method.get("against") else text


def criterion(requirement: Mapping[str, Any], confidence: Any) -> str:
    """The acceptance criterion in words."""
    accept, unit = requirement["accept"], unit_of(requirement["method"])
    least = "at_least" in accept
    limit = number(accept["at_least"] if least else accept["at_most"])
    sign, amount = "≥" if least else "≤", f"{limit} {unit}".strip()
    if accept["rule"] == "mean":
        end = "lower" if least else "upper"
        return f"{end} end of the {percent_of(confidence)} interval of the mean {sign} {amount}"
    if accept["rule"] == "share":
        return f"share {sign} {amount}"
    return "holds in every case" if least and limit == "1" and not unit else f"every value {sign} {amount}"


def percent_of(share: Any) -> str:
    """``95 %``."""
    return f"{100 * float(share):g} %" if isinstance(share, int | float) else spoken(share)


def finding(requirement: Mapping[str, Any], result: Mapping[str, Any]) -> str:
    """What was found: the estimate with interval and n, or the reason why there is none."""
    none = len(result.get("no_case") or [])
    told = _found(requirement, result)
    return f"{told}; {none} without a case" if none else told


def _found(requirement: Mapping[str, Any], result: Mapping[str, Any]) -> str:
    estimate, unit = result.get("estimate"), unit_of(requirement["method"])
    if not isinstance(estimate, Mapping):
        return spoken(result.get("reason"))
    if "low" in estimate:
        ends = f"[{number(estimate['low'])}, {number(estimate['high'])}]"
        return f"{number(estimate['value'])} {ends} {unit}".strip() + f", n = {estimate['count']}"
    if unit:
        worst = "lowest" if "at_least" in requirement["accept"] else "largest"
        return f"{worst} {number(estimate['value'])} {unit}, n = {estimate['count']}"
    found = [at(case, "detail", "found") or at(case, "detail", "verdict") for case in result["cases"]]
    told = f": {found[0]}" if len(found) == 1 and found[0] else ""
    return f"{spoken(result.get('reason'))}{told}"


def verdict(word: Any) -> Span:
    """The verdict, bold; what is no PASS also in a colour."""
    colour = {"FAIL": WARNING, "NOT RUN": CAUTION, "INCOMPLETE": CAUTION}.get(str(word))
    return Span(str(word), BOLD, colour)
