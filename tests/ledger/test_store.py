"""The ledger in use: what goes in comes out, signed and in order; what must not go in is refused."""

from __future__ import annotations

import datetime as dt
import multiprocessing
import sqlite3
import statistics
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forensic.errors import BadInput, ForensicError, InternalError, StorageFailed
from forensic.hashes import sha256_bytes
from forensic.ledger.audit import audit
from forensic.ledger.entry import MAX_ENTRY_BYTES, Head, parse_entry
from forensic.ledger.store import Ledger
from forensic.signing.identity import Identity
from tests.ledger.conftest import NOW, refused, write_history


def test_entries_come_back_as_they_were_written(path: Path, identity: Identity) -> None:
    head = write_history(path, identity)
    with Ledger.open(path) as ledger:
        entries = list(ledger.entries())
        assert ledger.head() == head == (8, entries[-1].hash)
    assert [entry.seq for entry in entries] == list(range(1, 9))
    assert [entry.prev for entry in entries] == ["0" * 64, *(entry.hash for entry in entries[:-1])]
    assert all(sha256_bytes(entry.canonical) == entry.hash for entry in entries)
    assert entries[1].data == {"file": "防犯カメラ.mp4", "bytes": 1 << 40}
    assert entries[0].data["certificate"] == identity.certificate_pem
    assert entries[0].data["identity"] == identity.facts()
    assert entries[3].to_json()["entry_hash"] == entries[3].hash
    assert audit(path, head).ok


def test_entries_can_be_filtered(path: Path, identity: Identity) -> None:
    write_history(path, identity)
    with Ledger.open(path) as ledger:
        assert [e.seq for e in ledger.entries("run.started")] == [4]
        assert [e.seq for e in ledger.entries(run="R1")] == [3, 4, 5, 6, 8]
        assert [e.seq for e in ledger.entries("run.refused", case="C1", exhibit="E1", run="R2")] == [7]
        assert list(ledger.entries(exhibit="E1' OR 1=1 --")) == []


def test_iterating_does_not_stand_in_the_way_of_appending_and_ends(path: Path, identity: Identity) -> None:
    write_history(path, identity)
    with Ledger.open(path, identity) as ledger:
        seen = [entry.seq for entry in ledger.entries() if ledger.append("note.made", {"about": entry.seq})]
        assert seen == list(range(1, 9))
        assert ledger.head().seq == 16
    assert audit(path).ok


def test_more_entries_than_a_page_are_all_listed(path: Path, identity: Identity) -> None:
    with Ledger.create(path, identity) as ledger:
        for number in range(600):
            ledger.append("note.made", {"n": number}, case="even" if number % 2 == 0 else "odd")
        assert [entry.seq for entry in ledger.entries()] == list(range(1, 602))
        assert [entry.data["n"] for entry in ledger.entries(case="odd")] == list(range(1, 600, 2))


def test_an_append_takes_milliseconds(path: Path, identity: Identity) -> None:
    with Ledger.create(path, identity) as ledger:
        durations = []
        for number in range(50):
            start = time.perf_counter()
            ledger.append("note.made", {"n": number})
            durations.append(time.perf_counter() - start)
    assert statistics.median(durations) < 0.05  # measured: 1.7 ms idle, 4.6 ms on a busy machine


def test_unfinished_runs_are_those_without_an_end(path: Path, identity: Identity) -> None:
    write_history(path, identity)
    with Ledger.open(path, identity) as ledger:
        for run in ("R3", "R4", "R5"):
            ledger.append("run.started", {}, case="C1", exhibit="E1", run=run)
        ledger.append("run.interrupted", {}, run="R3")
        ledger.append("run.cancelled", {}, run="R4")
        assert [(entry.run, entry.event) for entry in ledger.unfinished_runs()] == [
            ("R3", "run.started"),
            ("R5", "run.started"),
        ]
    result = audit(path)
    assert result.ok
    assert {note.text for note in result.notes} == {f"run {run} started and did not finish" for run in ("R3", "R5")}


IMPOSSIBLE = [
    ([], ("run.finished", "R")),
    ([], ("run.progress", "R")),
    ([], ("run.resumed", "R")),
    ([], ("run.started", None)),
    ([], ("workspace.created", None)),
    ([], ("exhibit.acquired", None)),
    ([("run.started", "R")], ("run.started", "R")),
    ([("run.started", "R")], ("run.refused", "R")),
    ([("run.refused", "R")], ("run.started", "R")),
    ([("run.started", "R"), ("run.finished", "R")], ("run.finished", "R")),
    ([("run.started", "R"), ("run.failed", "R")], ("run.finished", "R")),
    ([("run.started", "R"), ("run.finished", "R")], ("run.resumed", "R")),
    ([("run.started", "R"), ("run.interrupted", "R")], ("run.progress", "R")),
    ([("run.started", "R"), ("run.cancelled", "R")], ("run.interrupted", "R")),
]


@pytest.mark.parametrize(("before", "event"), IMPOSSIBLE)
def test_an_impossible_history_is_refused_and_leaves_no_trace(
    path: Path, identity: Identity, before: list[tuple[str, str]], event: tuple[str, str | None]
) -> None:
    with Ledger.create(path, identity) as ledger:
        for name, run in before:
            ledger.append(name, {}, run=run)
        head = ledger.head()
        with refused(InternalError, "ledger.order"):
            ledger.append(event[0], {}, run=event[1])
        assert ledger.head() == head
        ledger.append("note.made", {})
    assert audit(path).ok


def test_a_run_on_an_exhibit_that_was_never_acquired_in_this_case_is_refused(path: Path, identity: Identity) -> None:
    write_history(path, identity)
    with Ledger.open(path, identity) as ledger:
        for case, exhibit in (("C1", "E2"), ("C2", "E1"), (None, "E1")):
            with refused(InternalError, "ledger.order"):
                ledger.append("run.started", {}, case=case, exhibit=exhibit, run="R9")
        ledger.append("run.started", {}, case="C1", exhibit="E1", run="R9")
        ledger.append("run.interrupted", {}, run="R9")
        ledger.append("run.resumed", {}, run="R9")
        ledger.append("run.finished", {}, run="R9")
    assert audit(path).ok


def test_an_exhibit_is_acquired_once_whoever_asks_and_in_whatever_case(path: Path, identity: Identity) -> None:
    write_history(path, identity)
    with Ledger.open(path, identity) as one, Ledger.open(path, identity) as two:
        one.append("exhibit.acquired", {}, case="C1", exhibit="E2")
        for ledger in (one, two):
            for case in ("C1", "C2", None):
                with refused(InternalError, "ledger.order"):
                    ledger.append("exhibit.acquired", {}, case=case, exhibit="E2")
        two.append("exhibit.acquired", {}, case="C2", exhibit="E3")
    with Ledger.open(path, identity) as again, refused(InternalError, "ledger.order"):
        again.append("exhibit.acquired", {}, case="C1", exhibit="E3")
    assert audit(path).ok


def test_the_order_is_kept_across_processes_that_share_the_file(path: Path, identity: Identity) -> None:
    with Ledger.create(path, identity) as one, Ledger.open(path, identity) as two:
        one.append("run.started", {}, run="R")
        two.append("run.finished", {}, run="R")
        with refused(InternalError, "ledger.order"):
            one.append("run.finished", {}, run="R")
    assert audit(path).ok


@pytest.mark.parametrize("event", ["", "run", "Run.started", "run.started\n", "run..x", "note.made now", "note.MADE"])
def test_an_event_without_a_proper_name_is_refused(path: Path, identity: Identity, event: str) -> None:
    with Ledger.create(path, identity) as ledger, refused(InternalError, "ledger.(entry|order)"):
        ledger.append(event, {}, run="R")


@pytest.mark.parametrize("case", ["", "two\nlines", "nul\0", "\x7f"])
def test_an_identifier_that_cannot_be_shown_is_refused(path: Path, identity: Identity, case: str) -> None:
    with Ledger.create(path, identity) as ledger, refused(InternalError, "ledger.entry"):
        ledger.append("note.made", {}, case=case)


@pytest.mark.parametrize("data", [{"x": float("inf")}, {"x": b""}, {"\ud800": 1}, {"x": "\udcff"}, {"x": 1 << 53}])
def test_data_that_canonical_json_cannot_hold_are_refused(path: Path, identity: Identity, data: dict) -> None:  # type: ignore[type-arg]
    with Ledger.create(path, identity) as ledger:
        with refused(InternalError, "canonical.unserialisable"):
            ledger.append("note.made", data)
        assert ledger.head().seq == 1


def test_large_floats_read_back_as_they_were_written(path: Path, identity: Identity) -> None:
    with Ledger.create(path, identity) as ledger:
        ledger.append("note.made", {"x": [1e17, -1e20, 5e-324, 1.7976931348623157e308]})
        *_, entry = ledger.entries()
        assert entry.data == {"x": [1e17, -1e20, 5e-324, 1.7976931348623157e308]}
    assert audit(path).ok


def test_an_entry_beyond_the_limit_is_refused(path: Path, identity: Identity) -> None:
    with Ledger.create(path, identity) as ledger:
        ledger.append("note.made", {"x": "a" * (MAX_ENTRY_BYTES - 2000)})
        with refused(InternalError, "ledger.entry-too-large"):
            ledger.append("note.made", {"x": "a" * MAX_ENTRY_BYTES})
    assert audit(path).ok


def test_the_caller_cannot_change_an_entry_after_the_fact(path: Path, identity: Identity) -> None:
    data = {"list": [1]}
    with Ledger.create(path, identity) as ledger:
        entry = ledger.append("note.made", data)
        data["list"].append(2)
        assert entry.data == {"list": [1]}


# Time ----------------------------------------------------------------------------------------


def test_a_clock_that_goes_back_is_recorded_not_refused(path: Path, identity: Identity) -> None:
    times = iter([NOW, NOW + dt.timedelta(hours=2), NOW + dt.timedelta(hours=1), NOW + dt.timedelta(hours=1)])
    with Ledger.create(path, identity, clock=lambda: next(times)) as ledger:
        for _ in range(3):
            ledger.append("note.made", {})
        entries = list(ledger.entries())
    assert [entry.time["clock_regression"] for entry in entries] == [False, False, True, False]
    assert entries[2].utc == "2026-03-01T13:00:00.000000Z"
    result = audit(path)
    assert result.ok
    assert [note.seq for note in result.notes] == [3]


def test_monotonic_deltas_belong_to_a_session(path: Path, identity: Identity) -> None:
    with Ledger.create(path, identity) as one:
        one.append("note.made", {})
        with Ledger.open(path, identity) as two:
            two.append("note.made", {})
            time.sleep(0.02)
            one.append("note.made", {})
        entries = list(one.entries())
    sessions = [entry.time["session"] for entry in entries]
    deltas = [entry.time["monotonic_ns_since_previous"] for entry in entries]
    assert sessions[0] == sessions[1] == sessions[3] != sessions[2]
    assert deltas[0] is None
    assert deltas[2] is None
    assert deltas[1] > 0
    assert deltas[3] > 20_000_000  # since the previous entry of the same session, not of the chain


def test_an_entry_outside_the_certificate_dates_is_noted(path: Path, identity: Identity) -> None:
    times = iter([NOW, NOW + dt.timedelta(days=4000)])
    with Ledger.create(path, identity, clock=lambda: next(times)) as ledger:
        ledger.append("note.made", {})
    result = audit(path)
    assert result.ok
    assert [note.text for note in result.notes] == ["entry 2 is dated outside its certificate's validity"]


# Storage -------------------------------------------------------------------------------------


def test_durable_settings_are_in_force(path: Path, identity: Identity) -> None:
    with Ledger.create(path, identity) as ledger, ledger._engine.connect() as connection:
        values = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys", "recursive_triggers", "trusted_schema")
        }
    full = 2
    assert values == {
        "journal_mode": "wal",
        "synchronous": full,
        "foreign_keys": 1,
        "recursive_triggers": 1,
        "trusted_schema": 0,
    }


def test_a_full_disk_is_reported_and_the_chain_goes_on_afterwards(path: Path, identity: Identity) -> None:
    with Ledger.create(path, identity) as ledger:
        with ledger._engine.connect() as connection:  # SQLite's own limit raises its own disk-full error
            connection.exec_driver_sql("PRAGMA max_page_count=40")
        acknowledged = 1
        with refused(StorageFailed, "ledger.disk-full"):
            for _ in range(100):
                acknowledged = ledger.append("note.made", {"x": "a" * 5000}).seq
        assert ledger.head().seq == acknowledged > 1
        with ledger._engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA max_page_count=4000")
        assert ledger.append("note.made", {}).seq == acknowledged + 1
    assert audit(path).ok


def test_a_lock_held_too_long_is_reported(path: Path, identity: Identity) -> None:
    write_history(path, identity)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with Ledger.open(path, identity, busy_seconds=0.05) as ledger:
            with refused(StorageFailed, "ledger.locked"):
                ledger.append("note.made", {})
            other.execute("ROLLBACK")
            assert ledger.append("note.made", {}).seq == 9
    assert audit(path).ok


def test_a_folder_that_does_not_exist_is_reported(tmp_path: Path, identity: Identity) -> None:
    with refused(StorageFailed, "ledger.cannot-open"):
        Ledger.create(tmp_path / "absent" / "ledger.sqlite", identity)


def test_threads_share_a_ledger(path: Path, identity: Identity) -> None:
    with Ledger.create(path, identity) as ledger:
        threads = [
            threading.Thread(target=lambda: [ledger.append("note.made", {"n": n}) for n in range(10)]) for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert ledger.head().seq == 41
    assert audit(path).ok


def _append_in_child(ledger: Ledger, results: multiprocessing.Queue) -> None:  # type: ignore[type-arg]
    try:
        ledger.append("note.made", {})
    except ForensicError as error:
        results.put(error.code)


def test_a_ledger_carried_into_a_child_process_refuses_to_write(path: Path, identity: Identity) -> None:
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    with Ledger.create(path, identity) as ledger:
        child = context.Process(target=_append_in_child, args=(ledger, results))
        child.start()
        assert results.get(timeout=30) == "ledger.forked"
        child.join()
        ledger.append("note.made", {})
    assert audit(path).ok


identifiers = st.none() | st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=40)
@given(
    data=st.dictionaries(st.text(), json_values, max_size=5),
    case=identifiers,
    run=identifiers,
)
def test_any_json_object_survives_the_round_trip(
    identity: Identity,
    tmp_path_factory: pytest.TempPathFactory,
    data: dict,
    case: str | None,
    run: str | None,  # type: ignore[type-arg]
) -> None:
    path = tmp_path_factory.mktemp("json") / "ledger.sqlite"
    with Ledger.create(path, identity) as ledger:
        written = ledger.append("note.made", data, case=case, run=run)
        assert written.data == data
        if case is not None:
            assert [entry.seq for entry in ledger.entries(case=case)] == [2]
        assert [entry.canonical for entry in ledger.entries()][1] == written.canonical
    assert audit(path, Head(2, written.hash)).ok


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_never_an_entry(data: bytes) -> None:
    with pytest.raises(BadInput):
        parse_entry(data)
