"""The parent of :mod:`tests.fuzz.decoding`: hands inputs over, watches the clock, starts a new child after a crash."""

from __future__ import annotations

import json
import os
import select
import signal
import struct
import subprocess
import sys
from pathlib import Path

from tests.fuzz.outcome import Finding

_ROOT = Path(__file__).resolve().parents[2]


class DecodingChild:
    """Context manager. ``limit_s``: wall seconds for one input."""

    COMMAND = (sys.executable, "-m", "tests.fuzz.decoding")

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._child: subprocess.Popen[bytes] | None = None
        self.crashes = 0

    def __enter__(self) -> DecodingChild:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def examine(self, data: bytes) -> str:
        """``accepted`` or the code of the refusal. Raises :class:`Finding`."""
        child = self._running()
        assert child.stdin is not None and child.stdout is not None and child.stderr is not None
        try:
            child.stdin.write(struct.pack(">I", len(data)) + data)
            child.stdin.flush()
        except BrokenPipeError:
            return self._ended()
        ready, _, _ = select.select([child.stdout], [], [], self._limit_s)
        if not ready:
            self._end()
            raise Finding("hang", f"no answer within {self._limit_s} s")
        line = child.stdout.readline()
        if not line:
            return self._ended()
        answer = json.loads(line)
        return str(answer.get("code", "accepted"))

    def _running(self) -> subprocess.Popen[bytes]:
        if self._child is None:
            self._child = subprocess.Popen(
                self.COMMAND,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=_ROOT,
                env={**os.environ, "PYTHONPATH": str(_ROOT), "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"},
            )  # fmt: skip
        return self._child

    def _ended(self) -> str:
        """The child died of an input: by a signal, which the real parent records, or of a defect of ours."""
        assert self._child is not None and self._child.stderr is not None
        said = self._child.stderr.read().decode("utf-8", "replace")
        status = self._child.wait()
        self._end()
        if status < 0:
            self.crashes += 1
            return f"media.decoder-crashed ({signal.Signals(-status).name})"
        raise Finding("traceback", said[-3000:])

    def _end(self) -> None:
        if self._child is None:
            return
        self._child.kill()
        self._child.wait()
        for pipe in (self._child.stdin, self._child.stdout, self._child.stderr):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:
                    continue
        self._child = None
