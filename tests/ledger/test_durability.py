"""Killed, crowded, read-only, out of space: the chain holds and nothing acknowledged is lost."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import random
import resource
import shutil
import signal
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from forensic.errors import ForensicError, StorageFailed, UsageError
from forensic.ledger.audit import audit
from forensic.ledger.store import Ledger
from forensic.signing.identity import Identity
from tests.ledger.conftest import write_history

FORK = multiprocessing.get_context("fork")
KILLS = 25


def _append_for_ever(path: Path, identity: Identity, acknowledge: int) -> None:
    with Ledger.open(path, identity) as ledger:
        for number in range(1_000_000):
            entry = ledger.append("note.made", {"n": number, "padding": "x" * (number % 7 * 500)})
            os.write(acknowledge, entry.seq.to_bytes(8, "big"))


def _kill(target: Callable[..., None], arguments: tuple[Any, ...], wait_for: int, delay: float) -> bytes:
    """Run ``target(*arguments, pipe)`` in a child; kill it ``delay`` s after it wrote ``wait_for`` bytes.

    Returns all that it wrote. Waiting for acknowledgements rather than for a time makes the moment
    of death spread over the work, not over the start, on slow machines too.
    """
    reader, writer = os.pipe()
    child = FORK.Process(target=target, args=(*arguments, writer))
    child.start()
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        told = stream.read(wait_for)
        time.sleep(delay)
        os.kill(child.pid or 0, signal.SIGKILL)
        child.join()
        return told + stream.read()


def test_kill_9_at_any_moment_loses_nothing_acknowledged(path: Path, identity: Identity) -> None:
    Ledger.create(path, identity).close()
    rng = random.Random(7)
    acknowledged = 1
    for _ in range(KILLS):
        told = _kill(_append_for_ever, (path, identity), 8 * rng.randint(0, 6), rng.uniform(0, 0.01))
        last = int.from_bytes(told[-8:], "big") if told else acknowledged
        result = audit(path)  # as the crash left it, write-ahead log included
        assert result.ok, result.findings
        assert result.entries - last in (0, 1)  # at most one committed but not yet told
        acknowledged = result.entries
    assert acknowledged > KILLS
    with Ledger.open(path, identity) as ledger:
        assert ledger.append("note.made", {}).seq == acknowledged + 1
    assert audit(path).ok


def _create(path: Path, identity: Identity, acknowledge: int) -> None:
    os.write(acknowledge, b"!")
    Ledger.create(path, identity)
    os.write(acknowledge, b"created")


def test_kill_9_while_creating_leaves_a_ledger_or_none(tmp_path: Path, identity: Identity) -> None:
    outcomes = {"made afresh": 0, "complete": 0}
    for number in itertools.count():
        path = tmp_path / f"{number}.sqlite"
        told = _kill(_create, (path, identity), 1, number * 0.001)  # later and later, until creation gets done
        try:
            Ledger.create(path, identity).close()
            outcomes["made afresh"] += 1
            assert told == b"!"
        except UsageError as error:
            assert error.code == "ledger.exists"
            outcomes["complete"] += 1
        assert audit(path).ok
        if number >= 20 and outcomes["complete"] >= 3:
            break
    assert outcomes["made afresh"] > 0


def _append_some(path: Path, identity: Identity, name: str, results: Connection) -> None:
    with Ledger.open(path, identity) as ledger:
        heads = [ledger.append("run.started", {}, case="C", exhibit="E", run=name).head]
        heads += [ledger.append("run.progress", {"by": name, "n": n}, case="C", run=name).head for n in range(20)]
        heads.append(ledger.append("run.finished", {}, case="C", exhibit="E", run=name).head)
        results.send(heads)


def test_eight_processes_appending_at_once_make_one_chain(path: Path, identity: Identity) -> None:
    with Ledger.create(path, identity) as ledger:
        ledger.append("exhibit.acquired", {}, case="C", exhibit="E")
    names = [f"p{number}" for number in range(8)]
    pipes = [FORK.Pipe(duplex=False) for _ in names]
    children = [
        FORK.Process(target=_append_some, args=(path, identity, name, writer))
        for name, (_, writer) in zip(names, pipes, strict=True)
    ]
    for child in children:
        child.start()
    heads = [head for reader, _ in pipes for head in reader.recv()]
    for child in children:
        child.join()
        assert child.exitcode == 0
    assert sorted(seq for seq, _ in heads) == list(range(3, 3 + 8 * 22))
    result = audit(path, cited_heads=heads)
    assert result.ok, result.findings
    with Ledger.open(path) as ledger:
        for name in names:
            told = list(ledger.entries(run=name))
            assert [entry.data.get("n") for entry in told] == [None, *range(20), None]
            assert list(ledger.thread(run=name)) == told[::-1]
        assert len(list(ledger.thread(case="C"))) == 1 + 8 * 22
        assert ledger.unfinished_runs() == []


def _create_one(path: Path, identity: Identity, results: Connection) -> None:
    try:
        with Ledger.create(path, identity):
            results.send("created")
    except ForensicError as error:
        results.send(error.code)


def test_of_several_processes_creating_at_once_one_creates(path: Path, identity: Identity) -> None:
    for _ in range(5):
        pipes = [FORK.Pipe(duplex=False) for _ in range(4)]
        children = [FORK.Process(target=_create_one, args=(path, identity, writer)) for _, writer in pipes]
        for child in children:
            child.start()
        outcomes = sorted(reader.recv() for reader, _ in pipes)
        for child in children:
            child.join()
        assert outcomes == ["created", "ledger.exists", "ledger.exists", "ledger.exists"]
        assert audit(path).ok
        path.unlink()


def test_auditing_beside_a_busy_writer_finds_no_fault(path: Path, identity: Identity) -> None:
    Ledger.create(path, identity).close()
    reader, writer = os.pipe()
    child = FORK.Process(target=_append_for_ever, args=(path, identity, writer))
    child.start()
    os.close(writer)
    try:
        os.read(reader, 8)  # it is at work
        for _ in range(10):
            result = audit(path)
            assert result.ok, result.findings
    finally:
        os.kill(child.pid or 0, signal.SIGKILL)
        child.join()
        os.close(reader)
    assert audit(path).entries > 1


# Media that cannot be written -----------------------------------------------------------------


@pytest.fixture
def shared_folder() -> Iterator[Path]:
    """A folder that a user without privileges can reach."""
    folder = Path(tempfile.mkdtemp(prefix="forensic-test-"))
    folder.chmod(0o755)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


def _without_privileges(results: Connection, work: Callable[[], Any]) -> None:
    if os.getuid() == 0:  # root writes anywhere: become nobody
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
    try:
        results.send(work())
    except ForensicError as error:
        results.send(error.code)


def _as_nobody(work: Callable[[], Any]) -> Any:
    reader, writer = FORK.Pipe(duplex=False)
    child = FORK.Process(target=_without_privileges, args=(writer, work))
    child.start()
    writer.close()
    try:
        return reader.recv()
    finally:
        child.join()


def _lock(folder: Path) -> None:
    for file in folder.iterdir():
        file.chmod(0o444)
    folder.chmod(0o555)


def test_a_read_only_folder_is_audited_and_read(shared_folder: Path, identity: Identity) -> None:
    path = shared_folder / "ledger.sqlite"
    head = write_history(path, identity)
    _lock(shared_folder)
    assert _as_nobody(lambda: audit(path, head).ok) is True
    assert _as_nobody(lambda: [entry.seq for entry in Ledger.open(path).entries()]) == list(range(1, 9))
    assert _as_nobody(lambda: Ledger.open(path, identity).append("note.made", {})) in (
        "ledger.read-only",
        "ledger.cannot-open",
    )
    assert [file.name for file in shared_folder.iterdir()] == ["ledger.sqlite"]


@pytest.mark.parametrize("suffixes", [("", "-wal"), ("", "-wal", "-shm")])
def test_a_read_only_folder_with_a_log_left_by_a_crash_loses_no_entry(
    shared_folder: Path, tmp_path: Path, identity: Identity, suffixes: tuple[str, ...]
) -> None:
    with Ledger.create(tmp_path / "ledger.sqlite", identity) as ledger:
        head = ledger.append("note.made", {}).head
        for suffix in suffixes:
            shutil.copyfile(f"{ledger.path}{suffix}", shared_folder / f"ledger.sqlite{suffix}")
    path = shared_folder / "ledger.sqlite"
    _lock(shared_folder)
    result = _as_nobody(lambda: audit(path, head))
    assert result.ok, result.findings
    assert result.head == head
    assert _as_nobody(lambda: [entry.seq for entry in Ledger.open(path).entries()]) == [1, 2]


def test_a_file_that_may_not_be_read_is_a_finding(shared_folder: Path, identity: Identity) -> None:
    path = shared_folder / "ledger.sqlite"
    write_history(path, identity)
    path.chmod(0)
    assert _as_nobody(lambda: audit(path).failed_checks()) == ("L1",)
    assert _as_nobody(lambda: Ledger.open(path)) == "ledger.cannot-open"


def _append_until_refused(path: Path, identity: Identity, results: Connection) -> None:
    with Ledger.open(path, identity) as ledger:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
        acknowledged = 0
        try:
            for _ in range(1000):
                acknowledged = ledger.append("note.made", {"x": "a" * 3000}).seq
        except StorageFailed as error:
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            results.send((acknowledged, error.code, ledger.append("note.made", {}).seq))


def test_a_write_that_the_system_refuses_is_reported_and_the_chain_goes_on(path: Path, identity: Identity) -> None:
    Ledger.create(path, identity).close()
    reader, writer = FORK.Pipe(duplex=False)
    child = FORK.Process(target=_append_until_refused, args=(path, identity, writer))
    child.start()
    acknowledged, code, next_seq = reader.recv()
    child.join()
    assert acknowledged > 1
    assert code in ("ledger.storage", "ledger.disk-full")
    assert next_seq == acknowledged + 1
    assert audit(path).entries == next_seq
    assert audit(path).ok


def test_the_pragma_of_durability_survives_reopening_by_others(path: Path, identity: Identity) -> None:
    write_history(path, identity)
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()
    with Ledger.open(path, identity) as ledger:
        ledger.append("note.made", {})
    assert audit(path).ok
