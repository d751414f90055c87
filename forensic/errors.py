"""One root error with a stable reason code, what happened, and what to do about it.

Exit codes are a public contract (docs/cli.md): scripts and laboratories branch on them.
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """Process exit codes of the ``forensic`` command."""

    OK = 0
    VERIFICATION_FAILED = 1
    USAGE = 2
    REFUSED = 3
    BAD_INPUT = 4
    INTERRUPTED = 5
    INTERNAL = 70


class ForensicError(Exception):
    """Root of every error that this package raises on purpose.

    ``code`` is stable and machine-readable (``area.reason``, lower case), ``message`` says what
    happened and ``remedy`` what the reader can do. Both are plain text for a terminal or a report.
    """

    exit_code: ExitCode = ExitCode.INTERNAL

    def __init__(self, code: str, message: str, remedy: str = "") -> None:
        super().__init__(f"[{code}] {message}" + (f" {remedy}" if remedy else ""))
        self.code = code
        self.message = message
        self.remedy = remedy


class VerificationFailed(ForensicError):
    """Something that should match does not: evidence of damage or tampering."""

    exit_code = ExitCode.VERIFICATION_FAILED


class UsageError(ForensicError):
    """The command or call was given arguments that make no sense together."""

    exit_code = ExitCode.USAGE


class PolicyRefused(ForensicError):
    """Policy did not permit it: an explicit refusal, or anything that fails closed."""

    exit_code = ExitCode.REFUSED


class BadInput(ForensicError):
    """A file from outside (media, recipe, card, weights) cannot be used as it is."""

    exit_code = ExitCode.BAD_INPUT


class Interrupted(ForensicError):
    """The run stopped before its end (Ctrl-C, full disk); the ledger is valid and says so."""

    exit_code = ExitCode.INTERRUPTED


class StorageFailed(Interrupted):
    """Reading or writing storage failed: full disk, read-only folder, vanished mount."""


class InternalError(ForensicError):
    """A broken promise of our own, for example NaN in a frame: always a bug or broken hardware."""

    exit_code = ExitCode.INTERNAL
