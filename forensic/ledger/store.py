"""The ledger's writer and reader: append signed entries, read them back."""

from __future__ import annotations

import datetime as dt
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from sqlalchemy import Connection, Engine, insert

from forensic.errors import BadInput, InternalError, UsageError, VerificationFailed
from forensic.hashes import canonical_json
from forensic.ledger import schema
from forensic.ledger.entry import (
    CLOCK_SOURCE,
    GENESIS,
    MAX_ENTRY_BYTES,
    PAYLOAD_TYPE,
    VERSION,
    Head,
    LedgerEntry,
    format_utc,
    parse_entry,
)
from forensic.ledger.order import CREATED, INTRODUCED, EventOrder
from forensic.ledger.readonly import reading
from forensic.ledger.rows import ENTRIES, ROW, broken, field, parse_row, rows
from forensic.ledger.storage import engine_over, reading_from, worded, writer_connection, writing
from forensic.ledger.tail import Tail, read_order
from forensic.signing.certificate import key_id, read_certificate
from forensic.signing.dsse import sign_envelope
from forensic.signing.identity import Identity

_PAGE = 256
_LONGEST_DELTA_NS = (1 << 53) - 1  # the largest integer of canonical JSON: 104 days


def _system_clock() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


class Ledger:
    """An open ledger. Make one with ``create`` or ``open``; close it, or use it as a context manager.

    Threads may share it; processes may not, but each may open the file: appends serialise on
    SQLite's write lock and each signs the head that it finds under that lock.
    """

    def __init__(
        self, path: Path, engine: Engine, identity: Identity | None, clock: Callable[[], dt.datetime], stack: ExitStack
    ) -> None:
        """For ``create`` and ``open`` only."""
        self._path = path
        self._engine = engine
        self._identity = identity
        self._clock = clock
        self._stack = stack
        self._lock = threading.RLock()
        self._process = os.getpid()
        self._session = str(uuid.uuid4())
        self._monotonic: int | None = None
        self._pending_monotonic: int | None = None
        self._tail = Tail(path)

    @property
    def path(self) -> Path:
        """The SQLite file."""
        return self._path

    @classmethod
    def create(
        cls,
        path: Path,
        identity: Identity,
        data: Mapping[str, Any] | None = None,
        *,
        busy_seconds: float = 30.0,
        clock: Callable[[], dt.datetime] = _system_clock,
    ) -> Ledger:
        """Create the ledger at ``path`` with its first entry, ``workspace.created``, in one transaction.

        The entry's data hold ``certificate`` (PEM) and ``identity`` (facts), and ``data`` besides.
        Raises ``UsageError`` (``ledger.exists``), ``VerificationFailed`` (``ledger.not-a-ledger``,
        ``ledger.corrupt``) and ``StorageFailed`` (``ledger.*``).
        """
        own = {"certificate": identity.certificate_pem, "identity": identity.facts()}
        if data and own.keys() & data.keys():
            raise UsageError("ledger.data", "certificate and identity are written by the ledger itself.")
        with ExitStack() as stack:
            engine = _writer(stack, path, create=True, busy_seconds=busy_seconds)
            ledger = cls(path, engine, identity, clock, stack)
            with writing(engine, path) as connection:
                if connection.exec_driver_sql("SELECT count(*) FROM sqlite_master").scalar_one():
                    raise UsageError("ledger.exists", f"There is a ledger at {path} already.", "Open it instead.")
                connection.exec_driver_sql(f"PRAGMA application_id={schema.APPLICATION_ID}")
                connection.exec_driver_sql(f"PRAGMA user_version={schema.USER_VERSION}")
                for statement in schema.STATEMENTS.values():
                    connection.exec_driver_sql(statement)
                entry = ledger._insert(connection, CREATED, {**(data or {}), **own}, None, None, None)
            ledger._advance(entry)
            ledger._stack = stack.pop_all()
        return ledger

    @classmethod
    def open(
        cls,
        path: Path,
        identity: Identity | None = None,
        *,
        busy_seconds: float = 30.0,
        clock: Callable[[], dt.datetime] = _system_clock,
    ) -> Ledger:
        """Open an existing ledger: for appending with an ``identity``, for reading without.

        For appending, the schema, the last entry's hash, link and signature, and the identity's
        being introduced in this ledger are checked first. Reading works on read-only media.
        Raises ``UsageError`` (``ledger.missing``, ``ledger.unknown-identity``),
        ``VerificationFailed`` (``ledger.broken``, ``ledger.corrupt``, ``ledger.not-a-ledger``) and
        ``StorageFailed`` (``ledger.*``).
        """
        if not path.is_file():
            raise UsageError("ledger.missing", f"There is no ledger at {path}.", "Run `forensic init` first.")
        with ExitStack() as stack:
            if identity is None:
                with worded(path):
                    connection = stack.enter_context(reading(path, leave_no_trace=False, busy_seconds=busy_seconds))
                engine = engine_over(connection)
                stack.callback(engine.dispose)
            else:
                engine = _writer(stack, path, create=False, busy_seconds=busy_seconds)
            ledger = cls(path, engine, identity, clock, stack)
            ledger._check_schema()
            if identity is not None:
                with reading_from(engine, path) as view:
                    ledger._tail.load(view, identity)
            ledger._stack = stack.pop_all()
        return ledger

    def close(self) -> None:
        """Close the file; closing twice does nothing."""
        with self._lock:
            self._stack.close()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    # Writing ---------------------------------------------------------------------------------

    def append(
        self,
        event: str,
        data: Mapping[str, Any],
        *,
        case: str | None = None,
        exhibit: str | None = None,
        run: str | None = None,
    ) -> LedgerEntry:
        """Sign and append one entry; when this returns, the entry is on the disk.

        ``event`` is a dotted lower-case name such as ``run.started``; ``data`` is any JSON object.
        Raises ``UsageError`` (``ledger.read-only`` without an identity), ``InternalError``
        (``ledger.order`` for an event that may not stand here, ``ledger.entry``,
        ``ledger.entry-too-large``, ``canonical.unserialisable``), ``VerificationFailed``
        (``ledger.broken``: the ledger's end does not hold, nothing is added to it) and
        ``StorageFailed`` (``ledger.disk-full``, ``ledger.read-only``, ``ledger.locked``, …).
        """
        if event == INTRODUCED:
            raise UsageError("ledger.data", f"Use introduce() to write {INTRODUCED}.")
        return self._append(event, data, case, exhibit, run)

    def introduce(self, certificate_pem: str) -> LedgerEntry:
        """Let another certificate sign in this ledger, vouched for by the present identity.

        Raises as ``append`` does, and ``BadInput`` (``certificate.*``).
        """
        certificate = read_certificate(certificate_pem)
        data = {"certificate": certificate_pem, "key_id": key_id(certificate)}
        return self._append(INTRODUCED, data, None, None, None)

    def _append(
        self, event: str, data: Mapping[str, Any], case: str | None, exhibit: str | None, run: str | None
    ) -> LedgerEntry:
        if self._identity is None:
            raise UsageError("ledger.read-only", "The ledger was opened for reading only.", "Open it with an identity.")
        with self._lock:
            self._check_process()
            with writing(self._engine, self._path) as connection:
                self._catch_up(connection)
                if EventOrder.governs(event):
                    order = self._tail.order(connection)
                    fault = order.fault(self._tail.head.seq + 1, event, case, exhibit, run)
                    if fault is not None:
                        raise InternalError("ledger.order", f"The ledger refuses an impossible history: {fault}.")
                entry = self._insert(connection, event, dict(data), case, exhibit, run)
            self._advance(entry)
            return entry

    def _insert(
        self,
        connection: Connection,
        event: str,
        data: dict[str, Any],
        case: str | None,
        exhibit: str | None,
        run: str | None,
    ) -> LedgerEntry:
        identity = self._identity
        if identity is None:
            raise InternalError("ledger.read-only", "No identity to sign with.")
        utc, now = format_utc(self._clock()), time.monotonic_ns()
        elapsed = None if self._monotonic is None else now - self._monotonic
        canonical = canonical_json(
            {
                "v": VERSION,
                "seq": self._tail.head.seq + 1,
                "prev": self._tail.head.hash,
                "time": {
                    "utc": utc,
                    "source": CLOCK_SOURCE,
                    "monotonic_ns_since_previous": None if elapsed is None or elapsed > _LONGEST_DELTA_NS else elapsed,
                    "session": self._session,
                    "clock_regression": utc < self._tail.utc,
                },
                "actor": {"subject": identity.subject, "key_id": identity.key_id},
                "event": event,
                "case": case,
                "exhibit": exhibit,
                "run": run,
                "data": data,
            }
        )
        if len(canonical) > MAX_ENTRY_BYTES:
            raise InternalError("ledger.entry-too-large", f"A ledger entry of {len(canonical)} bytes is too large.")
        try:
            entry = parse_entry(canonical)  # what cannot be read back is never written
        except BadInput as error:
            raise InternalError(error.code, error.message) from error
        envelope = canonical_json(sign_envelope(PAYLOAD_TYPE, canonical, identity, include_certificate=False))
        self._pending_monotonic = now
        connection.execute(
            insert(ENTRIES).values(
                seq=entry.seq, entry=canonical.decode(), entry_hash=entry.hash, envelope=envelope.decode()
            )
        )
        return entry

    def _catch_up(self, connection: Connection) -> None:
        for entry in self._tail.catch_up(connection):
            if entry.time["session"] == self._session:
                self._monotonic = self._pending_monotonic  # ours after all: cut off between commit and return

    def _advance(self, entry: LedgerEntry) -> None:
        self._tail.advance(entry)
        self._monotonic = self._pending_monotonic

    def _check_process(self) -> None:
        if os.getpid() != self._process:
            raise InternalError("ledger.forked", "A ledger was carried into a child process; open it there instead.")

    def _check_schema(self) -> None:
        with reading_from(self._engine, self._path) as connection:
            application = connection.exec_driver_sql("PRAGMA application_id").scalar_one()
            version = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
            found = connection.exec_driver_sql("SELECT type, name, sql FROM sqlite_master").all()
        if not found and not application:
            raise UsageError("ledger.missing", f"{self._path} is empty: no ledger was ever created in it.")
        if application != schema.APPLICATION_ID:
            raise VerificationFailed("ledger.not-a-ledger", f"{self._path} is not a ledger of this program.")
        if version != schema.USER_VERSION:
            raise BadInput("ledger.version", f"{self._path} has format version {version}.", "Use a newer program.")
        if faults := schema.schema_faults((kind, name, sql) for kind, name, sql in found):
            raise broken(self._path, "; ".join(faults))

    # Reading ---------------------------------------------------------------------------------

    def head(self) -> Head:
        """Number and hash of the last entry as the file has it now (``GENESIS`` if there is none)."""
        with self._view() as connection:
            row = next(rows(connection, ROW.order_by(ENTRIES.c.seq.desc()).limit(1)), None)
        return GENESIS if row is None else parse_row(self._path, row).head

    def entries(
        self,
        event: str | None = None,
        *,
        exhibit: str | None = None,
        run: str | None = None,
        case: str | None = None,
    ) -> Iterator[LedgerEntry]:
        """The entries present now, in order, that match every filter given.

        Each is parsed strictly and checked against its hash; links and signatures are the audit's
        business. Memory stays bounded. Raises ``VerificationFailed`` (``ledger.broken``,
        ``ledger.corrupt``) and ``StorageFailed``.
        """
        last, end = 0, self.head().seq
        query = ROW.order_by(ENTRIES.c.seq).limit(_PAGE)
        for name, value in (("event", event), ("exhibit", exhibit), ("run", run), ("case", case)):
            if value is not None:
                query = query.where(field(name) == value)
        while last < end:
            # A page at a time: no read transaction stays open while the caller thinks, or appends.
            with self._view() as connection:
                page = list(rows(connection, query.where(ENTRIES.c.seq > last, ENTRIES.c.seq <= end)))
            if not page:
                return
            for row in page:
                yield parse_row(self._path, row)
            last = page[-1].seq

    def unfinished_runs(self) -> list[LedgerEntry]:
        """The ``run.started`` entries of runs that have no terminal event, oldest first."""
        with self._view() as connection:
            numbers = sorted(read_order(connection).unfinished().values())
            found = [row for seq in numbers for row in rows(connection, ROW.where(ENTRIES.c.seq == seq))]
        return [parse_row(self._path, row) for row in found]

    @contextmanager
    def _view(self) -> Iterator[Connection]:
        with self._lock:
            self._check_process()
            with reading_from(self._engine, self._path) as connection:
                yield connection


def _writer(stack: ExitStack, path: Path, *, create: bool, busy_seconds: float) -> Engine:
    connection = writer_connection(path, create=create, busy_seconds=busy_seconds)
    stack.callback(connection.close)
    engine = engine_over(connection)
    stack.callback(engine.dispose)
    return engine
