"""The way into FFmpeg: opening one file and nothing else, catching what the libraries say.

Files are handed over as open streams, never as names, so that a file's name cannot act as a URL,
a pattern or a format hint; and every attempt of a demuxer to open a second file (playlists,
external references) is refused, so that no pixel can come from anywhere but the exhibit.
"""

from __future__ import annotations

import errno
import logging
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Any, NoReturn

import av
import av.error
import av.logging
from av.container import InputContainer

from forensic.errors import BadInput, StorageFailed
from forensic.media.visible import visible

MAX_SIDE = 16384
MAX_PIXELS = 1 << 27  # 134 217 728

# What FFmpeg reports is collected by `messages`, not printed. Python's "libav" logger gets only what
# is said outside such a block, and keeps it to itself. INFO is needed for one message: the H.264 decoder
# tells by it that it has concealed errors.
_logger = logging.getLogger("libav")
_logger.addHandler(logging.NullHandler())
_logger.propagate = False
av.logging.set_level(av.logging.INFO)
av.logging.set_skip_repeated(False)

# Formats that draw text as pictures, or are descriptions of other files.
_TEXT_AS_PICTURES = frozenset({"tty", "bin", "xbin", "adf", "idf", "lavfi", "ffmetadata"})
_NAMES_OTHER_FILES = frozenset({"concat", "hls", "dash", "imf", "sdp", "rtsp", "image2"})
# What the beginning of such a file looks like, for a plain word where FFmpeg would only call it unreadable.
_LISTS_OF_FILES = (
    (b"#EXTM3U", "an HLS playlist"),
    (b"ffconcat version", "an ffconcat list"),
    (b"v=0\r", "a session description (SDP)"),
    (b"v=0\n", "a session description (SDP)"),
    (b"[playlist]", "a playlist (PLS)"),
    (b"[Reference]", "a reference file (ASX)"),
    (b"<asx", "a reference file (ASX)"),
    (b"<smil", "a SMIL presentation"),
)
_XML_LISTS = ((b"<MPD", "a DASH manifest"), (b"<CompositionPlaylist", "an IMF composition"), (b"<smil", "a SMIL file"))
_BLOCK = 1 << 20
_BREATHING_SPACE = 64 << 20
_ContainerFlags: Any = av.container.core.Flags
_GENERATE_TIMES = int(_ContainerFlags.gen_pts.value)


class ExhibitFile:
    """Read-only stream over one regular file, with a neutral name. The file is held, not its path.

    ``label`` is the name for messages, ``size`` in bytes. ``on_progress`` is called with
    every block read and every packet.
    """

    name = "exhibit"

    def __init__(self, descriptor: int, label: str, on_progress: Callable[[], None] | None = None) -> None:
        self._file = FileIO(descriptor, "rb")
        self._on_progress = on_progress
        self.label = label
        self.size = os.fstat(descriptor).st_size
        self.seek = self._file.seek
        self.tell = self._file.tell
        self.close = self._file.close
        self.fileno = self._file.fileno

    @classmethod
    def at(cls, path: Path) -> ExhibitFile:
        """Open the regular file at ``path``. Raises ``BadInput``: ``media.unreadable``, ``media.empty``."""
        check_regular(path)
        # Between the two looks the name may come to stand for a pipe, whose opening would block.
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
        try:
            descriptor = os.open(path, flags)
        except OSError as error:
            raise BadInput("media.unreadable", f"{_name(path)} cannot be read: {_reason(error)}.") from error
        try:
            _check_status(os.fstat(descriptor), _name(path))
            return cls(descriptor, _name(path))
        except BaseException:
            os.close(descriptor)
            raise

    def read(self, size: int = -1) -> bytes:
        """Up to ``size`` bytes from where the stream stands."""
        data = self._file.read(size) or b""
        self.alive()
        return data

    def alive(self) -> None:
        """Called wherever work on the file gets on."""
        if self._on_progress is not None:
            self._on_progress()

    def head(self, size: int) -> bytes:
        """The first ``size`` bytes; the position stays."""
        before = self._file.tell()
        self._file.seek(0)
        try:
            return self._file.read(size) or b""
        finally:
            self._file.seek(before)

    def seekable(self) -> bool:
        """It is a regular file."""
        return True


def _refuse_second_file(url: str, flags: int, options: dict[str, str]) -> NoReturn:
    raise PermissionError(f"refused: the file asks for another file, {visible(url, 200)!r}")


@contextmanager
def messages() -> Iterator[list[tuple[int, str, str]]]:
    """Collect (level, source, text) of what FFmpeg says on this thread, down to level INFO."""
    with av.logging.Capture(local=True) as logs:
        yield logs


def wording(error: BaseException, logs: list[tuple[int, str, str]] | None = None) -> str:
    """One line saying what FFmpeg complained about."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    said = [message.strip() for level, _, message in logs or [] if level <= av.logging.ERROR]
    return visible(f"{text} ({said[-1]})" if said else text, 500)


def check_regular(path: Path) -> int:
    """Size in bytes of the regular file at ``path``.

    Raises ``BadInput``: ``media.unreadable`` (missing, forbidden, directory, device, pipe) or
    ``media.empty``.
    """
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        raise BadInput("media.unreadable", f"{_name(path)} cannot be read: {_reason(error)}.") from error
    _check_status(status, _name(path))
    return status.st_size


def _check_status(status: os.stat_result, label: str) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise BadInput("media.unreadable", f"{label} is not a regular file.", "Give a file, not a folder.")
    if status.st_size == 0:
        raise BadInput("media.empty", f"{label} is empty (0 bytes).", "Ask for the export again.")


def _name(path: Path) -> str:
    return repr(visible(path.name, 200))


def _reason(error: BaseException) -> str:
    return visible(getattr(error, "strerror", None) or str(error), 200)


def open_exhibit(source: Path | ExhibitFile) -> InputContainer:
    """Open a media file for reading. The caller closes the container.

    Raises ``BadInput`` with ``media.unreadable``, ``media.empty``, ``media.too-large``,
    ``media.names-other-files`` or ``media.no-video``; nothing else for any content.
    """
    file = ExhibitFile.at(source) if isinstance(source, Path) else source
    try:
        refuse_list_of_files(file)
        file.seek(0)
        return _open(file)
    except BaseException:
        if file is not source:
            file.close()
        raise


def _open(file: ExhibitFile) -> InputContainer:
    with messages() as logs:
        try:
            container = av.open(
                file,
                "r",
                # No protocol is allowed: a session description (SDP) would otherwise listen on the network.
                # External references of MOV are off (FFmpeg's default, stated here).
                options={
                    "max_pixels": str(MAX_PIXELS),
                    "threads": "1",
                    "err_detect": "crccheck",
                    "protocol_whitelist": "none",
                    "enable_drefs": "0",
                    "use_absolute_path": "0",
                },
                metadata_errors="backslashreplace",
                buffer_size=_BLOCK,
                io_open=_refuse_second_file,
            )
        except (av.error.FFmpegError, OSError, ValueError, RuntimeError, MemoryError) as error:
            refuse_exhausted(error)
            refuse_too_large(logs)
            raise BadInput(
                "media.unreadable",
                f"{file.label} is not a media file that can be read: {wording(error, logs)}.",
                "Check that the export is complete; `ffprobe FILE` gives a second opinion.",
            ) from error
    refuse_too_large(logs)
    names, name = set(container.format.name.split(",")), container.format.name
    if names & (_TEXT_AS_PICTURES | _NAMES_OTHER_FILES):
        container.close()
        if names & _NAMES_OTHER_FILES:
            raise names_other_files(file.label, repr(name))
        raise BadInput("media.no-video", f"{file.label} is {name!r}: text, not recorded pictures.")
    # Timestamps that the file lacks are not to be made up behind our back.
    container.flags &= ~_GENERATE_TIMES
    return container


def refuse_list_of_files(file: ExhibitFile) -> None:
    """Raise ``BadInput`` (``media.names-other-files``) for a playlist, manifest or session description."""
    head = file.head(4096).removeprefix(b"\xef\xbb\xbf").lstrip()
    for magic, kind in _LISTS_OF_FILES:
        if head[: len(magic)].lower() == magic.lower():
            raise names_other_files(file.label, kind)
    if head.startswith(b"<?xml"):
        for magic, kind in _XML_LISTS:
            if magic in head:
                raise names_other_files(file.label, kind)


def names_other_files(label: str, kind: str) -> BadInput:
    """The error for a file that has no pictures of its own but says where others lie."""
    return BadInput(
        "media.names-other-files",
        f"{label} is {kind}: it names other files or addresses and holds no pictures itself.",
        "Acquire the files that it names.",
    )


def refuse_exhausted(error: BaseException) -> None:
    """Raise ``BadInput`` (``media.decoder-memory``) if ``error`` is want of memory and there is indeed none left.

    FFmpeg also says "cannot allocate memory" of an absurd size in a damaged file; that is no exhaustion, and
    reading goes on as with any damage.
    """
    if not isinstance(error, MemoryError) and getattr(error, "errno", None) != errno.ENOMEM:
        return
    try:
        bytearray(_BREATHING_SPACE)
    except MemoryError:
        raise out_of_memory() from error


def out_of_memory() -> BadInput:
    """The error for a file that takes more memory than is granted."""
    return BadInput(
        "media.decoder-memory",
        "Decoding the file takes more memory than a decoder is granted.",
        "The file is damaged or made to do harm; docs/media.md gives the limits.",
    )


def refuse_too_large(logs: list[tuple[int, str, str]]) -> None:
    """Raise ``BadInput`` (``media.too-large``) if FFmpeg refused to allocate a picture for its size."""
    for _, _, message in logs:
        if "exceeds specified max pixel count" in message or ("Picture size" in message and "is invalid" in message):
            raise too_large(visible(message.strip(), 200))


def too_large(what: str) -> BadInput:
    """The error for a picture beyond the limits."""
    return BadInput(
        "media.too-large",
        f"The picture is too large: {what}.",
        f"At most {MAX_SIDE} samples a side and {MAX_PIXELS} in all are accepted.",
    )


def storage_failed(error: OSError, path: Path) -> StorageFailed:
    """The error for a failed write: ``media.disk-full`` or ``media.write-failed``."""
    if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC), errno.EFBIG):
        return StorageFailed(
            "media.disk-full", f"No space left while writing {_name(path)}.", "Free space and run again."
        )
    return StorageFailed("media.write-failed", f"{_name(path)} cannot be written: {_reason(error)}.")


def sync(descriptor: int) -> None:
    """Push a file's bytes to the disk."""
    os.fsync(descriptor)


def software_facts() -> dict[str, Any]:
    """Versions of PyAV and the FFmpeg libraries in it, their configuration and licence."""
    libraries = av._core.library_meta
    return {
        "pyav": av.__version__,
        "ffmpeg": av.ffmpeg_version_info,
        "libraries": {name: ".".join(map(str, facts["version"])) for name, facts in sorted(libraries.items())},
        "configuration": libraries["libavcodec"]["configuration"],
        "licence": libraries["libavcodec"]["license"],
    }


class Serial(int):
    """A packet's number as its ``opaque``: an object of its own for every packet.

    PyAV keeps opaque values by their address and forgets them when a packet is freed. Equal small
    integers are one object in CPython, so that a packet freed late would take another's number along.
    """
