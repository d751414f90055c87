"""Case and examiner, acquisition and hashes, container and timing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reportlab.platypus import Flowable

from forensic.report.blocks import Content, Grid, facts, notice, paragraph, table, titled
from forensic.report.record import RunRecord
from forensic.report.sections.summary import geometry_text, identity_sentences
from forensic.report.theme import SMALL, SUBHEADING
from forensic.report.typeset import mono
from forensic.report.values import at, bytes_size, flatten, given, items, label, plural, spoken, stated
from forensic.report.visible import exact_spelling
from forensic.report.wording import words, words_of

STREAMS_ABREAST = 3
_IN_TICKS = frozenset({"shortest", "median", "longest", "nominal"})
ANOMALIES_SHOWN = 40
_H273 = {
    "matrix": {0: "identity (RGB)", 1: "BT.709", 4: "FCC", 5: "BT.470 BG", 6: "BT.601", 7: "SMPTE 240M", 9: "BT.2020"},
    "primaries": {1: "BT.709", 5: "BT.470 BG", 6: "BT.601 525", 9: "BT.2020"},
    "transfer": {1: "BT.709", 6: "BT.601", 13: "sRGB", 14: "BT.2020 10-bit", 16: "PQ", 18: "HLG"},
}


def name_rows(title: str, name: Any) -> list[tuple[str, Content]]:
    """A name, and its exact spelling where it holds anything but printable ASCII."""
    rows: list[tuple[str, Content]] = [(title, spoken(name))]
    if isinstance(name, str) and not (name.isascii() and name.isprintable()):
        rows.append((f"{title}, exact spelling", mono(exact_spelling(name))))
    return rows


def _acknowledgement(record: RunRecord) -> list[tuple[str, Content]]:
    """What was typed as acknowledgement. Only generative pixels call for one: elsewhere any text may stand there."""
    typed = record.get("run", "acknowledgement")
    if not typed:
        return []
    return [("Acknowledged" if record.generative else "Text given as acknowledgement (none was needed)", spoken(typed))]


def _approval(approval: object) -> list[tuple[str, Content]]:
    """Who approved this run beforehand, and whether the laboratory's authority vouches for that; none if nobody did."""
    if not isinstance(approval, dict) or "seq" not in approval:
        return []
    why_not = approval.get("certified_detail") or "reason not recorded"
    vouched = (
        "certified by the laboratory's authority" if approval.get("certified") is True else f"NOT certified: {why_not}"
    )
    return [
        ("Approved by", f"{spoken(approval.get('by'))}, {spoken(approval.get('role'))}, {spoken(vouched)}"),
        ("Approval", f"ledger entry {spoken(approval.get('seq'))}: {spoken(approval.get('note'))}"),
        ("Approver's key", mono(spoken(approval.get("key_id")))),
    ]


def _interruptions(run: Any, count: Any) -> list[tuple[str, Content]]:
    """Where and why the run was broken off, when it went on, and what was taken over."""
    rows: list[tuple[str, Content]] = []
    for one in items(at(run, "interruptions")):
        seqs = f"ledger entries {spoken(at(one, 'seq'))} and {spoken(at(one, 'resumed_seq'))}"
        rows.append(("Interrupted", f"{spoken(at(one, 'utc'))}: {spoken(at(one, 'reason'))}"))
        rows.append(("Resumed", f"{spoken(at(one, 'resumed_utc'))} ({seqs})"))
    if rows:
        reused = f"{spoken(at(run, 'frames_reused'))} of {spoken(count)} frames from before the interruption"
        rows.append(("Taken over", f"{reused}, each checked against a signed ledger entry; duration: the rest"))
    return rows


def _cost(run: Any) -> list[tuple[str, Content]]:
    """One line on what the run cost; records before 0.3.0 do not tell."""
    cost = at(run, "cost")
    if not isinstance(cost, Mapping):
        return []
    memory, energy = cost.get("peak_memory_bytes"), cost.get("energy_wh")
    parts = [
        f"{spoken(cost.get('processor_s'))} s of processor time",
        f"peak memory {round(memory / (1 << 20))} MiB"
        if isinstance(memory, int)
        else "peak memory not told by the system",
        f"{spoken(energy)} Wh of the processor packages" if energy is not None else "energy not readable",
    ]
    foreseen = cost.get("estimate")
    wall = at(foreseen, "wall_s")
    told = f"estimated before: {spoken(wall)} s" if wall is not None else "no estimate"
    if items(at(run, "interruptions")):
        parts.append(f"of the last part; {_earlier(cost.get('earlier'))}")
    return [("Cost", f"{'; '.join(parts)}; {told} ({spoken(at(foreseen, 'source'))})")]


def _earlier(before: Any) -> str:
    """What the parts before the last one cost, as the ledger tells (run.interrupted)."""
    if not isinstance(before, Mapping):
        return "earlier parts are in the ledger (run.interrupted), as far as they could be told"
    energy = before.get("energy_wh")
    told = f"{spoken(before.get('wall_s'))} s and {spoken(before.get('processor_s'))} s of processor time"
    told += f", {spoken(energy)} Wh" if energy is not None else ""
    untold = f"; {spoken(before.get('untold'))} of them could not tell" if before.get("untold") else ""
    return f"earlier parts ({spoken(before.get('parts'))}): {told}{untold}"


def case(record: RunRecord) -> list[Flowable]:
    """Case, exhibit, question, examiner and signing identity."""
    run, examiner = record.get("run"), record.get("examiner")
    identity = at(examiner, "identity")
    rows: list[tuple[str, Content]] = [
        ("Case", spoken(record.get("case", "id"))),
        ("Exhibit", spoken(record.get("exhibit", "id"))),
        *name_rows("Note on the exhibit", given(record.get("exhibit", "note"))),
        ("Question asked", spoken(at(run, "question")) if at(run, "question") else words("summary", "no_question")),
        ("Purpose", given(at(run, "purpose"))),
        ("Reason given", given(at(run, "reason"))),
        ("Mode", spoken(at(run, "mode"))),
        *_acknowledgement(record),
        ("Examiner", spoken(at(examiner, "name"))),
        *([("Role", spoken(at(examiner, "role")))] if at(examiner, "role") else []),
        *_approval(at(run, "approval")),
        ("Laboratory", spoken(at(examiner, "lab"))),
    ]
    signing: list[tuple[str, Content]] = [
        ("Subject", spoken(at(identity, "subject"))),
        ("Issuer", spoken(at(identity, "issuer"))),
        ("Kind", spoken(at(identity, "kind"))),
        ("Key", f"{spoken(at(identity, 'algorithm'))}; protection on disk: {spoken(at(identity, 'protection'))}"),
        ("Serial number", mono(spoken(at(identity, "serial")))),
        ("Certificate SHA-256", mono(spoken(at(identity, "certificate_sha256")))),
        ("Key SHA-256", mono(spoken(at(identity, "key_id")))),
        ("Valid", f"{spoken(at(identity, 'not_before'))} to {spoken(at(identity, 'not_after'))}"),
    ]
    ledger = record.get("workspace", "ledger_head")
    place: list[tuple[str, Content]] = [
        ("Workspace", mono(spoken(record.get("workspace", "id")))),
        ("Ledger head", [f"entry {spoken(at(ledger, 'seq'))}, hash ", mono(spoken(at(ledger, "hash")))]),
        ("Run", mono(record.run_id)),
        ("Started, finished", f"{spoken(at(run, 'started_utc'))}, {spoken(at(run, 'finished_utc'))}"),
        ("Duration", f"{spoken(at(run, 'duration_s'))} s with {spoken(at(run, 'workers'))} workers"),
        *_cost(run),
        *_interruptions(run, record.get("output", "frames", "count")),
    ]
    return [
        facts(rows),
        paragraph("Signing identity", SUBHEADING),
        facts(signing),
        notice("What the signature is worth", identity_sentences(record), "caution"),
        paragraph("Run and ledger", SUBHEADING),
        facts(place),
        paragraph(words("notes", "spelling"), SMALL),
    ]


def acquisition(record: RunRecord) -> list[Flowable]:
    """Facts fixed when the exhibit was taken in."""
    exhibit = record.get("exhibit")
    frames = at(exhibit, "frames")
    rows: list[tuple[str, Content]] = [
        *name_rows("File name", at(exhibit, "file_name")),
        *(name_rows("Read from", at(exhibit, "source_path")) if at(exhibit, "source_path") else []),
        ("Size", bytes_size(at(exhibit, "size"))),
        ("SHA-256 of the file", mono(spoken(at(exhibit, "sha256")))),
        ("Acquired", spoken(at(exhibit, "acquired_utc"))),
        ("Frames decoded", spoken(at(frames, "count"))),
        ("Merkle root of all frames", mono(spoken(at(frames, "merkle_root")))),
    ]
    return [facts(rows)]


def colour_rows(colour: Any, geometry: Any) -> list[tuple[str, Content]]:
    """Colour description with names beside the code points, and what display assumes where the file is silent."""
    rows: list[tuple[str, Content]] = []
    assuming = _has_chroma_matrix(geometry)
    for key, value in (colour or {}).items() if isinstance(colour, Mapping) else []:
        table_of = _H273.get("matrix" if key == "display_matrix" else str(key), {})
        known = table_of.get(value) if isinstance(value, int) and not isinstance(value, bool) else None
        if (value == 2 and key in _H273) or value is None or value == "unspecified":
            text = f"{words('notes', 'unspecified')}" + (" (2)" if value == 2 else "")
        else:
            text = f"{known} ({value})" if known else spoken(value)
        if key == "display_matrix":
            if isinstance(value, int) and assuming:
                shown = f"{known or 'unknown'} ({value})"
                rows.append(("Assumed matrix, for display", shown))
            continue
        rows.append((label(str(key)), text))
        if key == "full_range" and value is None and assuming:
            rows.append(("Assumed range, for display", words("notes", "range_assumed")))
    return rows


def _has_chroma_matrix(geometry: Any) -> bool:
    """Whether samples are luma and colour difference: for grey and RGB pictures nothing is assumed."""
    return str(at(geometry, "pixel_format")).startswith("yuv")


def assumes(colour: Any, geometry: Any) -> bool:
    """Whether anything about the colours had to be assumed to show the pictures."""
    return (
        _has_chroma_matrix(geometry)
        and isinstance(colour, Mapping)
        and (isinstance(colour.get("display_matrix"), int) or colour.get("full_range", False) is None)
    )


def _anomalies(record: RunRecord) -> list[Flowable]:
    listed = record.listed("exhibit", "anomalies")
    counts = record.get("exhibit", "anomaly_counts")
    counted = {str(kind): count for kind, count in counts.items()} if isinstance(counts, Mapping) else {}
    if not listed and not any(counted.values()):
        # Where no interval is the usual one, a gap cannot be told from a long interval.
        fixed = record.get("exhibit", "frames", "vfr") is False
        return [paragraph(words("notes", "anomalies_none" if fixed else "anomalies_none_variable"))]
    story: list[Flowable] = []
    if counted:
        story.append(table(["Kind", "Count"], [[kind, spoken(count)] for kind, count in counted.items()], (0.5, 0.5)))
    rows = [
        [
            spoken(at(one, "kind")),
            spoken(at(one, "frame")),
            spoken(at(one, "pts")),
            record.seconds(at(one, "pts")),
            spoken(at(one, "detail")),
        ]
        for one in listed[:ANOMALIES_SHOWN]
    ]
    story.append(table(["Kind", "Frame", "PTS", "Time", "Detail"], rows, (0.17, 0.1, 0.13, 0.14, 0.46)))
    if len(listed) > ANOMALIES_SHOWN:
        rest = f"Shown: the first {ANOMALIES_SHOWN} of {len(listed)}. {words('notes', 'anomalies_rest')}"
        story.append(paragraph(rest, SMALL))
    return story


def _nested(record: Any) -> Grid:
    return facts(list(flatten(record)), 0.38)


def _timing(record: RunRecord, timing: Any) -> list[Flowable]:
    """Intervals between frames in plain words, ticks and seconds; unknown facts as they are recorded."""
    known = words_of("timing")
    facts_of = timing if isinstance(timing, Mapping) else {"timing": timing}
    rows: list[tuple[str, Content]] = []
    for key, title in known.items():
        if key not in facts_of:
            continue
        value = facts_of[key]
        if key in _IN_TICKS and isinstance(value, int) and not isinstance(value, bool):
            rows.append((title, f"{value} ticks, {record.seconds(value)}"))
        else:
            rows.append((title, spoken(value)))
    rest = {key: value for key, value in facts_of.items() if key not in known and key != "unit"}
    rows += list(flatten(rest)) if rest else []
    story = titled("Timing", facts(rows, 0.38)) if rows else []
    if at(timing, "unit"):
        story.append(paragraph(words("notes", "timing").format(unit=spoken(at(timing, "unit"))), SMALL))
    return story


def _streams(streams: list[Mapping[str, Any]]) -> Grid:
    """One column for each stream, one row for each fact that any of them has."""
    columns = [dict(flatten(stream)) for stream in streams]
    names = list(dict.fromkeys(name for column in columns for name in column))
    header = ["Fact", *(f"Stream {spoken(at(stream, 'index'))}" for stream in streams)]
    width = 0.72 / len(streams)
    return table(header, [[name, *(column.get(name, "–") for column in columns)] for name in names],
                 (0.28, *([width] * len(streams))))  # fmt: skip


def container(record: RunRecord) -> list[Flowable]:
    """What the file says about itself, its timing, and what is wrong with it."""
    exhibit = record.get("exhibit")
    frames = at(exhibit, "frames")
    rows: list[tuple[str, Content]] = [
        ("Picture", geometry_text(at(exhibit, "geometry"))),
        ("Sample aspect", stated(at(exhibit, "geometry", "sample_aspect"))),
        *colour_rows(at(exhibit, "colour"), at(exhibit, "geometry")),
        ("Time base", f"{spoken(at(exhibit, 'time_base'))} s"),
        ("First and last PTS", f"{spoken(at(frames, 'first_pts'))}, {spoken(at(frames, 'last_pts'))}"),
        ("Variable frame rate", spoken(at(frames, "vfr"))),
    ]
    story: list[Flowable] = [facts(rows), paragraph(words("notes", "code_points"), SMALL)]
    if assumes(at(exhibit, "colour"), at(exhibit, "geometry")):
        story.append(paragraph(words("notes", "colour_assumed"), SMALL))
    degrees = at(exhibit, "media", "rotation")
    if degrees not in (None, "", 0, "0", "0.00", "-0.00"):
        story.append(notice("Turned for display", [words("notes", "rotation").format(degrees=spoken(degrees))]))
    if at(frames, "timing"):
        story += _timing(record, at(frames, "timing"))
    total = len(items(at(exhibit, "anomalies")))
    story.append(paragraph(f"Anomalies: {plural(total, 'entry', 'entries')}", SUBHEADING))
    story += _anomalies(record)
    if at(exhibit, "media"):
        media = at(exhibit, "media")
        streams = [one for one in items(at(media, "streams")) if isinstance(one, Mapping)]
        abreast = 0 < len(streams) <= STREAMS_ABREAST
        rest = {key: value for key, value in media.items() if key != "streams"} if abreast else media
        story += titled("Container as the file states it", _nested(rest))
        if abreast:
            story += titled("Streams as the file states them", _streams(streams))
    return story
