"""Case and examiner, acquisition and hashes, container and timing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reportlab.platypus import Flowable

from forensic.report.blocks import Content, Grid, facts, notice, paragraph, table
from forensic.report.record import RunRecord
from forensic.report.sections.summary import geometry_text, identity_sentences
from forensic.report.theme import SMALL, SUBHEADING
from forensic.report.typeset import mono
from forensic.report.values import at, bytes_size, flatten, given, items, label, plural, spoken, stated
from forensic.report.visible import exact_spelling
from forensic.report.wording import words

STREAMS_ABREAST = 3
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
        ("Examiner", spoken(at(examiner, "name"))),
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


def colour_rows(colour: Any) -> list[tuple[str, Content]]:
    """Colour description with names beside the code points."""
    rows: list[tuple[str, Content]] = []
    for key, value in (colour or {}).items() if isinstance(colour, Mapping) else []:
        known = _H273.get(str(key), {}).get(value) if isinstance(value, int) and not isinstance(value, bool) else None
        if (value == 2 and key in _H273) or value is None or value == "unspecified":
            text = f"{words('notes', 'unspecified')}" + (" (2)" if value == 2 else "")
        else:
            text = f"{known} ({value})" if known else spoken(value)
        rows.append((label(str(key)), text))
    return rows


def _anomalies(record: RunRecord) -> list[Flowable]:
    listed = record.listed("exhibit", "anomalies")
    counts = record.get("exhibit", "anomaly_counts")
    counted = {str(kind): count for kind, count in counts.items()} if isinstance(counts, Mapping) else {}
    if not listed and not any(counted.values()):
        return [paragraph(words("notes", "anomalies_none"))]
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
        *colour_rows(at(exhibit, "colour")),
        ("Time base", f"{spoken(at(exhibit, 'time_base'))} s"),
        ("First and last PTS", f"{spoken(at(frames, 'first_pts'))}, {spoken(at(frames, 'last_pts'))}"),
        ("Variable frame rate", spoken(at(frames, "vfr"))),
    ]
    story: list[Flowable] = [facts(rows), paragraph(words("notes", "code_points"), SMALL)]
    if at(frames, "timing"):
        story += [paragraph("Timing", SUBHEADING), _nested(at(frames, "timing"))]
    total = len(items(at(exhibit, "anomalies")))
    story.append(paragraph(f"Anomalies: {plural(total, 'entry', 'entries')}", SUBHEADING))
    story += _anomalies(record)
    if at(exhibit, "media"):
        media = at(exhibit, "media")
        streams = [one for one in items(at(media, "streams")) if isinstance(one, Mapping)]
        abreast = 0 < len(streams) <= STREAMS_ABREAST
        rest = {key: value for key, value in media.items() if key != "streams"} if abreast else media
        story += [paragraph("Container as the file states it", SUBHEADING), _nested(rest)]
        if abreast:
            story += [paragraph("Streams as the file states them", SUBHEADING), _streams(streams)]
    return story
