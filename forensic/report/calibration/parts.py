"""The sections of the report of a calibration that say what was claimed, how it was tested, and what came out."""

from __future__ import annotations

from collections.abc import Callable
from math import hypot

from reportlab.platypus import Flowable

from forensic.report.blocks import Content, bullets, facts, notice, paragraph, table
from forensic.report.calibration.record import CalibrationRecord
from forensic.report.calibration.saying import NO_LOW, called, claimed, failed, level, rate, share, step
from forensic.report.theme import SMALL, SUBHEADING
from forensic.report.typeset import bold, mono
from forensic.report.values import at, items, percent, spoken
from forensic.report.wording import calibration as say
from forensic.risk.calibration.artefact import QUANTILE, Stratum
from forensic.risk.calibration.breakdown import BRIGHT, DARK, EDGE, STROKE
from forensic.risk.calibration.criteria import BETA
from forensic.risk.calibration.domain import MEASURES
from forensic.risk.calibration.independence import CALIBRATE, TEST
from forensic.risk.calibration.judging import found_by_laboratory, found_with_low, statement

_PASSES = {
    True: "The model ran once for each pair.",
    False: "The model ran 9 times for each pair: once, and eight times turned.",
}


def claims(record: CalibrationRecord) -> list[Flowable]:
    """Class S, the claims with their error rates, and the permitted wording of each stratum."""
    made, own = record.calibration, record.laboratory.registered
    registered = str(say("claims", "registered")).format(
        seq=own.seq, utc=own.utc, hash=own.hash, sha256=record.registration_sha256
    )
    rates = str(say("claims", "rates")).format(
        epsilon=percent(made.epsilon), delta=percent(made.delta), delta_each=percent(made.delta_each)
    )
    story: list[Flowable] = [
        paragraph([bold(str(say("claims", "class")) + " "), made.class_]),
        paragraph(str(say("claims", "drawn"))),
        paragraph(registered),
        table(
            ["Claim", "What is claimed of a recording"],
            [[called(number, one), claimed(one)] for number, one in enumerate(made.claims)],
            (0.15, 0.85),
        ),
        paragraph(rates),
        paragraph(str(say("claims", "wording")), SUBHEADING),
    ]
    for stratum in made.strata:
        if record.low_below(stratum) is None:
            why = str(say("claims", "no_statement")).format(reason=record.why_no_low(stratum))
            story.append(notice(f"Stratum {stratum.name}: no LOW label", [why], "caution"))
            continue
        told: list[Content] = [statement(made, stratum, one) for one in made.claims]
        told += [found_with_low(stratum), *found_by_laboratory(record.laboratory, stratum)[1:]]
        low = level(record.low_below(stratum))
        story.append(notice(f"Stratum {stratum.name}: LOW below {low} grey levels", told, "note"))
    return story


def recordings(record: CalibrationRecord) -> list[Flowable]:
    """What was given, what it became, and how well it lies on its references."""
    plan = record.plan
    units, given = items(at(plan, "recordings")), at(plan, "given")
    pairs = [pair for one in units for pair in items(at(one, "pairs"))]
    rows: list[tuple[str, Content]] = [
        ("Pairs given", f"{spoken(at(given, 'pairs'))}, named by {spoken(at(given, 'by'))}"),
        ("Refused", f"{len(items(at(plan, 'refused')))} (appendix A)"),
        ("Given once more", str(sum(len(items(at(one, "repeated"))) for one in units))),
        ("Measured", f"{len(pairs)} pairs of {len(units)} independent recordings"),
        ("Recordings merged", f"{len(items(at(plan, 'merged')))}, because they share a file or a picture"),
        ("Files not named as pairs", str(len(items(at(given, "ignored"))))),
        ("Share held out", percent(float(at(plan, "test_share") or 0.0))),
    ]
    grid: list[list[Content]] = []
    for stratum in record.calibration.strata:
        counts = [_of(units, stratum.name, which) for which in (CALIBRATE, TEST)]
        limits = "any" if stratum.above is None else f"above {level(stratum.above)}, up to {level(stratum.up_to)}"
        grid.append([stratum.name, limits, *map(str, counts)])
    return [
        paragraph(str(say("recordings", "intro"))),
        facts(rows, 0.3),
        table(["Stratum", "H.264 quantiser", "To calibrate with", "Held out"], grid, (0.34, 0.26, 0.22, 0.18)),
        *_alignment(record, [at(one, "alignment") for one in pairs]),
    ]


def _of(units: list[object], stratum: str, which: str) -> int:
    """Recordings of that list with a frame in that stratum."""
    listed = [items(at(one, "pairs")) for one in units if at(one, "list") == which]
    return sum(any(at(each, "stratum") == stratum for each in pairs) for pairs in listed)


def _alignment(record: CalibrationRecord, found: list[object]) -> list[Flowable]:
    limits = at(record.plan, "alignment")
    intro = str(say("recordings", "alignment")).format(
        middle=spoken(at(limits, "middle")), furthest=spoken(at(limits, "furthest")),
        correlation=spoken(at(limits, "least_correlation")),
    )  # fmt: skip
    rows: list[list[Content]] = []
    for title, of in _MEASURED.items():
        values = sorted(of(one) for one in found if isinstance(at(one, "furthest"), int | float))
        if values:
            ends = (values[0], values[len(values) // 2], values[-1])
            rows.append([title, *(f"{one:.3f}" for one in ends), str(len(values))])
    if not rows:
        return []
    header = ["", "Smallest", "Median", "Largest", "Frames"]
    return [paragraph(intro), table(header, rows, (0.3, 0.18, 0.18, 0.18, 0.16))]


_MEASURED: dict[str, Callable[[object], float]] = {
    "Middle": lambda one: hypot(at(one, "across"), at(one, "down")),
    "Furthest of middle and corners": lambda one: float(at(one, "furthest")),
    "Correlation": lambda one: float(at(one, "correlation")),
}


def method(record: CalibrationRecord) -> list[Flowable]:
    """How everything was measured and judged, and on what."""
    made, subject = record.calibration, record.calibration.subject
    learned = made.score == QUANTILE
    given = ((name, value if isinstance(value, str) else f"{value:g}") for name, value in subject.parameters.items())
    changes = ", ".join(f"{name} {value}" for name, value in given) or "none"
    rows: list[tuple[str, Content]] = [
        ("Model", f"{subject.model}, {subject.precision}, enlargement {subject.scale}"),
        ("Weights, SHA-256", mono(subject.weights_sha256)),
        ("Stage and parameters", f"{subject.stage}; {changes}"),
        ("Recipe", spoken(at(record.plan, "recipe"))),
        ("Measured on", str(say("method", "regions" if subject.region else "pictures"))),
        ("Score", made.score),
        ("Head of the score, SHA-256", mono(spoken(made.head_sha256)) if learned else "the score is not learned"),
        ("Thresholds tried, in this order", ", ".join(level(one) for one in items(at(record.plan, "thresholds")))),
    ]
    unit = str(say("method", "unit")).format(passes=_PASSES[learned])
    texts = (unit, *(str(say("method", key)) for key in ("test", "held_out", "no_low", "refusals")))
    return [facts(rows, 0.3), *(paragraph(text) for text in texts)]


def steps(record: CalibrationRecord) -> list[Flowable]:
    """Every test that was made, by stratum."""
    made = record.calibration
    intro = str(say("steps", "intro")).format(delta_each=f"{made.delta_each:.3g}")
    story: list[Flowable] = [paragraph(intro)]
    header = ["LOW below", *(called(number, one) for number, one in enumerate(made.claims))]
    for stratum in made.strata:
        story.append(paragraph(f"{stratum.name}: {stratum.n} recordings", SUBHEADING))
        taken = [one.steps for one in stratum.sequences]
        rows: list[list[Content]] = [
            [level(one.threshold), *(step(each, place) for each in taken)] for place, one in enumerate(taken[0])
        ]
        width = 0.85 / len(made.claims)
        story.append(table(header, rows, (0.15, *[width] * len(made.claims))) if rows else
                     paragraph(str(say("steps", "none"))))  # fmt: skip
        story.append(paragraph(_outcome(stratum)))
    return story


def _outcome(stratum: Stratum) -> str:
    if stratum.threshold is None:
        return str(say("steps", "refused")).format(reason=stratum.refused)
    return str(say("steps", "threshold")).format(
        threshold=level(stratum.threshold), n=stratum.n, abstained=stratum.abstained, area=share(stratum.low_area)
    )


def held_out(record: CalibrationRecord) -> list[Flowable]:
    """What the thresholds did on recordings that chose nothing."""
    made = record.calibration
    rows: list[list[Content]] = []
    claimed_rows: list[list[Content]] = []
    for stratum in made.strata:
        tested = record.tested(stratum)
        low = record.low_below(stratum)
        rows.append([stratum.name, str(tested.n), str(tested.outside), str(tested.abstained), share(tested.low_area),
                     NO_LOW if low is None else level(low), failed(tested.any_claim)])  # fmt: skip
        rates = zip(tested.failures, tested.low, tested.high, strict=True)
        inside = 0 if stratum.threshold is None else tested.inside
        claimed_rows.append([stratum.name, *(rate(count, inside, *ends) for count, *ends in rates)])
    width = 0.76 / len(made.claims)
    header = ["Stratum", "n", "Outside", "Without LOW", "LOW area", "LOW below", "Any claim failed, of those with LOW"]
    story: list[Flowable] = [
        paragraph(str(say("held_out", "intro"))),
        table(header, rows, (0.22, 0.07, 0.1, 0.12, 0.11, 0.11, 0.27)),
        table(["Stratum", *(called(number, one) for number, one in enumerate(made.claims))], claimed_rows,
              (0.24, *[width] * len(made.claims))),
    ]  # fmt: skip
    for stratum in made.strata:
        if made.contradicted(stratum):
            text = str(say("held_out", "contradicted")).format(stratum=stratum.name)
            story.append(notice("Contradicted", [text], "warning"))
    return [*story, paragraph(str(say("held_out", "few")), SMALL)]


def breakdown(record: CalibrationRecord) -> list[Flowable]:
    """The held-out numbers by brightness and by kind of area."""
    made = record.calibration
    story: list[Flowable] = [
        paragraph(str(say("breakdown", "intro"))),
        paragraph(str(say("breakdown", "brightness")).format(dark=f"{DARK:g}", bright=f"{BRIGHT:g}")),
        paragraph(str(say("breakdown", "area")).format(edge=f"{EDGE:g}", stroke=f"{STROKE:g}", beta=percent(BETA))),
    ]
    told = 0
    for stratum in made.strata:
        rows: list[list[Content]] = [
            [one.name, "any claim" if one.tolerance is None else f"more than {one.tolerance}", str(one.n),
             str(one.abstained), share(one.low_area), failed(one.failed)]
            for one in record.tested(stratum).shown
        ]  # fmt: skip
        if rows:
            told += 1
            header = [
                "Part",
                "Failure",
                "Recordings",
                "Without LOW",
                "LOW area",
                "Failed, of those with LOW there",
            ]
            story += [paragraph(stratum.name, SUBHEADING),
                      table(header, rows, (0.13, 0.15, 0.13, 0.17, 0.12, 0.3))]  # fmt: skip
    return story if told else [paragraph(str(say("breakdown", "none")))]


def domain(record: CalibrationRecord) -> list[Flowable]:
    """The envelope outside of which nothing is LOW."""
    made = record.calibration
    named = ", ".join(record.laboratory.pictures) or "none"
    story: list[Flowable] = [paragraph(str(say("domain", "intro")).format(pictures=named))]
    header = ["Measure", "Unit", *(one.name for one in made.strata)]
    rows: list[list[Content]] = []
    for name, (unit, meaning) in MEASURES.items():
        cells: list[Content] = []
        for stratum in made.strata:
            limits = stratum.envelope.get(name)
            cells.append("–" if limits is None else f"{limits.low:g} to {limits.high:g}")
        rows.append([f"{name}: {meaning}", unit, *cells])
    width = 0.5 / len(made.strata)
    return [*story, table(header, rows, (0.37, 0.13, *[width] * len(made.strata)))]


def not_shown(record: CalibrationRecord) -> list[Flowable]:
    """The limits of what was tested."""
    told = [spoken(one) for one in record.listed("not_shown")]
    told += [str(say("not_shown", key)) for key in ("luma", "presence")]
    return [paragraph(str(say("not_shown", "intro"))), *bullets(told)]
