"""The revision that keeps a signed report checkable: certificates and revocation lists (PAdES B-LT).

ISO 32000-2, 12.8.4.3 (document security store). No signature covers this revision until a document
timestamp does, so it has one form: it follows from the bytes before it and from the sorted data, and
the checker makes it again and compares.
"""

from __future__ import annotations

import re

from forensic.errors import BadInput
from forensic.signing.validationdata import ValidationData

_END = re.compile(rb"startxref\n([1-9][0-9]{0,9})\n%%EOF\n\Z")
_TRAILER = re.compile(rb"trailer\n(<<\n.*?\n>>)\nstartxref\n[0-9]+\n%%EOF\n\Z", re.DOTALL)
_SECTION = re.compile(rb"([0-9]+) ([0-9]+)\n")
_ROOT = re.compile(rb"\n/Root ([1-9][0-9]{0,7}) 0 R\n")
_SIZE = re.compile(rb"\n/Size ([1-9][0-9]{0,7})\n")
_PREVIOUS = re.compile(rb"\n/Prev [1-9][0-9]{0,9}\n")
_CLOSING = b"\n>>\nendobj\n"


def with_validation_data(pdf: bytes, data: ValidationData) -> bytes:
    """``pdf`` (as ``sign_pdf`` leaves it) and one revision with a document security store after it.

    Raises ``BadInput`` (``report.revision``) for a file of another make.
    """
    start = _matched(_END, pdf, "end")
    trailer = _matched(_TRAILER, pdf, "trailer")
    table = int(start[1])
    root = int(_matched(_ROOT, trailer[1], "trailer")[1])
    number = int(_matched(_SIZE, trailer[1], "trailer")[1])
    catalogue = _object(pdf, table, root)
    blobs = (*data.certificates, *data.lists)
    references = [b"%d 0 R" % (number + 1 + place) for place in range(len(blobs))]
    split = len(data.certificates)
    store = b"<<\n/Type /DSS\n/Certs [ %s ]\n/CRLs [ %s ]\n>>" % (
        b" ".join(references[:split]),
        b" ".join(references[split:]),
    )
    out = bytearray(pdf)
    offsets = [(root, len(out))]
    out += catalogue.removesuffix(_CLOSING) + b"\n/DSS %d 0 R" % number + _CLOSING
    offsets.append((number, len(out)))
    out += b"%d 0 obj\n%s\nendobj\n" % (number, store)
    for place, blob in enumerate(blobs):
        offsets.append((number + 1 + place, len(out)))
        out += b"%d 0 obj\n<<\n/Length %d\n>>\nstream\n%s\nendstream\nendobj\n" % (offsets[-1][0], len(blob), blob)
    place = len(out)
    out += b"xref\n0 1\n0000000000 65535 f \n"
    out += b"%d 1\n%010d 00000 n \n" % offsets[0]
    out += b"%d %d\n" % (number, len(offsets) - 1) + b"".join(b"%010d 00000 n \n" % at for _, at in offsets[1:])
    ending = _SIZE.sub(b"\n/Size %d\n" % (number + 1 + len(blobs)), trailer[1])
    ending = _PREVIOUS.sub(b"\n/Prev %d\n" % table, ending)
    out += b"trailer\n%s\nstartxref\n%d\n%%%%EOF\n" % (ending, place)
    return bytes(out)


def _matched(pattern: re.Pattern[bytes], text: bytes, what: str) -> re.Match[bytes]:
    found = pattern.search(text, max(0, len(text) - 4096))
    if found is None:
        raise _foreign(what)
    return found


def _object(pdf: bytes, table: int, number: int) -> bytes:
    """The bytes of an object that the cross-reference table at ``table`` names."""
    at = table + len(b"xref\n")
    if pdf[table:at] != b"xref\n":
        raise _foreign("cross-reference table")
    while section := _SECTION.match(pdf, at):
        first, count = int(section[1]), int(section[2])
        at = section.end() + 20 * count
        if first <= number < first + count:
            entry = pdf[section.end() + 20 * (number - first) :][:10]
            place = int(entry) if entry.isdigit() else len(pdf)
            end = pdf.find(_CLOSING, place)
            found = pdf[place : end + len(_CLOSING)]
            if end > 0 and found.startswith(b"%d 0 obj\n<<\n" % number) and b"/DSS" not in found:
                return found
    raise _foreign("catalogue")


def _foreign(what: str) -> BadInput:
    return BadInput(
        "report.revision", f"Validation data cannot be added: the file's {what} is not as this tool writes it."
    )
