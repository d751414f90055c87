"""The ledger's writer and reader: append signed entries, read them back."""

from __future__ import annotations

import datetime as dt
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from sqlalchemy import Connection, Engine

from forensic.errors import BadInput, InternalError, UsageError, VerificationFailed
from forensic.hashes import canonical_json
from forensic.ledger import schema
from forensic.ledger.author import Author
from forensic.ledger.entry import Head, LedgerEntry
from forensic.ledger.history import History
from forensic.ledger.order import CREATED, INTRODUCED, MIGRATED, EventOrder
from forensic.ledger.readonly import reading
from forensic.ledger.rows import broken
from forensic.ledger.storage import engine_over, reading_from, worded, writer_connection, writing
from forensic.ledger.tail import Tail
from forensic.ledger.tally import Kind
from forensic.signing.certificate import key_id, read_certificate
from forensic.signing.identity import Identity


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
        self._author = None if identity is None else Author(identity, clock)
        self._stack = stack
        self._lock = threading.RLock()
        self._process = os.getpid()
        self._tail = Tail(path)
        self._history = History(path, self._view, self._tail)
        self._linked = True  # False for a ledger of the older form that is only read

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
            ledger = cls(path, engine, None, clock, stack)
            with writing(engine, path) as connection:
                if connection.exec_driver_sql("SELECT count(*) FROM sqlite_master").scalar_one():
                    raise UsageError("ledger.exists", f"There is a ledger at {path} already.", "Open it instead.")
                connection.exec_driver_sql(f"PRAGMA application_id={schema.APPLICATION_ID}")
                connection.exec_driver_sql(f"PRAGMA user_version={schema.USER_VERSION}")
                for statement in schema.STATEMENTS.values():
                    connection.exec_driver_sql(statement)
                connection.exec_driver_sql("INSERT INTO alembic_version VALUES (?)", (str(schema.USER_VERSION),))
                author = Author(identity, clock)
                entry = author.write(connection, ledger._tail, CREATED, {**(data or {}), **own}, None, None, None)
            ledger._author = author
            ledger._advance(author, entry)
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

        The schema is checked, and the last entry: its link, its signature, and that the stored tree
        is the one it signs; for appending also that the identity may sign here. A ledger of format
        version 1 is followed from its first entry and then migrated when it is opened for appending;
        for reading it is left as it is, unchecked beyond its schema. Reading works on read-only media.
        Raises ``UsageError`` (``ledger.missing``, ``ledger.unknown-identity``, ``ledger.closed-identity``),
        ``BadInput`` (``ledger.version``), ``VerificationFailed`` (``ledger.broken``,
        ``ledger.corrupt``, ``ledger.not-a-ledger``) and ``StorageFailed`` (``ledger.*``).
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
            with reading_from(engine, path) as view:
                version = ledger._check_schema(view)
                if version == schema.MERKLE_LOG:
                    ledger._tail.load(view, version, identity)
            if version == schema.CHAIN:
                ledger._read_chain() if ledger._author is None else ledger._migrate(ledger._author)
            ledger._stack = stack.pop_all()
        return ledger

    def _read_chain(self) -> None:
        """Read a ledger of the older form as it is."""
        self._linked = False
        self._history = History(self._path, self._view, None)

    def _migrate(self, author: Author) -> None:
        """Make a ledger of the older form a Merkle log, in one transaction with the entry that says so."""
        from forensic.ledger.migrating import upgrade  # Alembic is slow to import and rarely needed

        entry = None
        with writing(self._engine, self._path) as connection:
            version = self._check_schema(connection)
            self._tail.load(connection, version, author.identity)
            if version == schema.CHAIN:  # nobody else was faster
                self._tail.stand_on_stored(connection, *upgrade(connection))
                data = {"from": schema.CHAIN, "to": schema.MERKLE_LOG}
                entry = author.write(connection, self._tail, MIGRATED, data, None, None, None)
        if entry is not None:
            self._advance(author, entry)

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
        if event in (INTRODUCED, MIGRATED):
            raise UsageError("ledger.data", f"{event} is written by introduce() or by migration alone.")
        return self._append(event, data, case, exhibit, run)

    def landed(self, event: str, data: Mapping[str, Any], *, after: int) -> LedgerEntry | None:
        """The entry that an append left which did not return: a fault or an interrupt may come after it took effect.

        ``after``: the ledger's size before the append. Raises as ``entries`` does.
        """
        wanted = canonical_json(dict(data))
        entries = (self.entry(seq) for seq in range(after + 1, self.size + 1))
        return next((one for one in entries if one.event == event and canonical_json(one.data) == wanted), None)

    def introduce(self, certificate_pem: str, **facts: Any) -> LedgerEntry:
        """Let another certificate sign in this ledger, vouched for by the present identity.

        ``facts`` such as ``role``, ``name`` and ``replaces`` (a key id) go into the entry's data.
        Raises as ``append`` does, ``BadInput`` (``certificate.*``) and ``UsageError`` (``ledger.data``).
        """
        certificate = read_certificate(certificate_pem)
        own = {"certificate": certificate_pem, "key_id": key_id(certificate)}
        if own.keys() & facts.keys():
            raise UsageError("ledger.data", "certificate and key_id are written by the ledger itself.")
        return self._append(INTRODUCED, {**facts, **own}, None, None, None)

    def _append(
        self, event: str, data: Mapping[str, Any], case: str | None, exhibit: str | None, run: str | None
    ) -> LedgerEntry:
        author = self._author
        if author is None:
            raise UsageError("ledger.read-only", "The ledger was opened for reading only.", "Open it with an identity.")
        with self._lock:
            self._check_process()
            with writing(self._engine, self._path) as connection:
                self._catch_up(connection)
                self._tail.check_identity(author.identity)
                fault = self._tail.keys.fault(event, data)
                if fault is None and EventOrder.governs(event):
                    order = self._history.order_around(connection, event, exhibit, run)
                    fault = order.fault(self._tail.head.seq + 1, event, case, exhibit, run)
                if fault is not None:
                    raise InternalError("ledger.order", f"The ledger refuses an impossible history: {fault}.")
                self._tail.keys.rehearse(event, data)
                entry = author.write(connection, self._tail, event, data, case, exhibit, run)
            self._advance(author, entry)
            return entry

    def _catch_up(self, connection: Connection) -> None:
        for entry in self._tail.catch_up(connection):
            if self._author is not None and self._author.wrote(entry):
                self._author.settle()  # ours after all: cut off between commit and return

    def _advance(self, author: Author, entry: LedgerEntry) -> None:
        self._tail.advance(entry)
        author.settle()

    def _check_process(self) -> None:
        if os.getpid() != self._process:
            raise InternalError("ledger.forked", "A ledger was carried into a child process; open it there instead.")

    def _check_schema(self, connection: Connection) -> int:
        """The format version, of which the schema is exactly that."""
        application = connection.exec_driver_sql("PRAGMA application_id").scalar_one()
        version = int(connection.exec_driver_sql("PRAGMA user_version").scalar_one())
        found = connection.exec_driver_sql("SELECT type, name, sql FROM sqlite_master").all()
        if not found and not application:
            raise UsageError("ledger.missing", f"{self._path} is empty: no ledger was ever created in it.")
        if application != schema.APPLICATION_ID:
            raise VerificationFailed("ledger.not-a-ledger", f"{self._path} is not a ledger of this program.")
        if version not in schema.SCHEMAS:
            raise BadInput("ledger.version", f"{self._path} has format version {version}.", "Use a newer program.")
        if faults := schema.schema_faults(version, ((kind, name, sql) for kind, name, sql in found)):
            raise broken(self._path, "; ".join(faults))
        return version

    # Reading ---------------------------------------------------------------------------------

    def head(self) -> Head:
        """Number and hash of the last entry as the file has it now."""
        return self._history.head()

    def entries(
        self,
        event: str | None = None,
        *,
        exhibit: str | None = None,
        run: str | None = None,
        case: str | None = None,
    ) -> Iterator[LedgerEntry]:
        """The entries present now, in order, that match every filter given.

        Each is parsed strictly and is under the signed Merkle root, and none is missing: the signed
        tally says how many there are (up to 256 are counted before the first is given out, more
        by the end). Memory stays bounded. Raises ``VerificationFailed`` (``ledger.broken``,
        ``ledger.corrupt``) and ``StorageFailed``.
        """
        given: dict[Kind, str | None] = {"event": event, "case": case, "exhibit": exhibit, "run": run}
        return self._history.entries({kind: name for kind, name in given.items() if name is not None})

    def thread(
        self, *, case: str | None = None, exhibit: str | None = None, run: str | None = None
    ) -> Iterator[LedgerEntry]:
        """All entries of one case, one exhibit or one run, newest first, along their signed pointers.

        Exactly one must be given (``ValueError``). Raises as ``entries`` does.
        """
        given: dict[Kind, str | None] = {"case": case, "exhibit": exhibit, "run": run}
        ((kind, name),) = ((kind, name) for kind, name in given.items() if name is not None)
        return self._history.thread(kind, name)

    def entry(self, seq: int) -> LedgerEntry:
        """Entry ``seq``. Raises ``IndexError`` if there is none, else as ``entries`` does."""
        with self._view() as connection:
            return self._history.row(connection, seq)[0]

    def envelope(self, seq: int) -> bytes:
        """The DSSE envelope of entry ``seq`` (canonical JSON), its signature verified. Raises as ``entry`` does."""
        with self._view() as connection:
            entry, row = self._history.row(connection, seq)
            if self._linked:
                self._tail.check_envelope(row.envelope, entry, self._tail.keys.certificates())
        return row.envelope

    def unfinished_runs(self) -> list[LedgerEntry]:
        """The ``run.started`` entries of runs that have no terminal event, oldest first."""
        return self._history.unfinished_runs()

    # The Merkle log --------------------------------------------------------------------------

    @property
    def size(self) -> int:
        """Number of entries now."""
        return self.head().seq

    def root(self, size: int | None = None) -> bytes:
        """RFC 9162 root over the first ``size`` entries (default: all now); leaf data are canonical entries.

        Raises ``IndexError`` for more entries than there are, ``UsageError`` (``ledger.version``) for a
        ledger of the older form opened for reading, ``VerificationFailed`` (``ledger.broken``).
        """
        with self._log() as connection:
            return self._tail.tree.root(connection, self._within(size))

    def inclusion_proof(self, seq: int, size: int | None = None) -> list[bytes]:
        """Audit path of entry ``seq`` (leaf ``seq - 1``) in the tree of ``size`` entries. Raises as ``root``."""
        with self._log() as connection:
            return self._tail.tree.inclusion_proof(connection, seq, self._within(size))

    def consistency_proof(self, old: int, new: int | None = None) -> list[bytes]:
        """Proof that the first ``old`` entries are a prefix of the first ``new``. Raises as ``root``."""
        with self._log() as connection:
            return self._tail.tree.consistency_proof(connection, old, self._within(new))

    def _within(self, size: int | None) -> int:
        if size is not None and not 0 <= size <= self._tail.head.seq:
            raise IndexError(f"{size} of {self._tail.head.seq} entries")
        return self._tail.head.seq if size is None else size

    @contextmanager
    def _log(self) -> Iterator[Connection]:
        if not self._linked:
            raise UsageError(
                "ledger.version",
                f"{self._path} is of the older form, which is no Merkle log.",
                "Open it for work once.",
            )
        with self._view() as connection:
            yield connection

    @contextmanager
    def _view(self) -> Iterator[Connection]:
        """A read transaction in which the tail has caught up with the file."""
        with self._lock:
            self._check_process()
            with reading_from(self._engine, self._path) as connection:
                if self._linked:
                    self._catch_up(connection)
                yield connection


def _writer(stack: ExitStack, path: Path, *, create: bool, busy_seconds: float) -> Engine:
    connection = writer_connection(path, create=create, busy_seconds=busy_seconds)
    stack.callback(connection.close)
    engine = engine_over(connection)
    stack.callback(engine.dispose)
    return engine
