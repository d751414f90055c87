"""``VERIFY.md``: what is in a bundle, and the commands to check it with other people's tools."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Collection, Iterator
from typing import Any

from forensic import resources
from forensic.case.verification.bundleform import bag as names
from forensic.case.verification.bundleform.description import (
    LABEL,
    Disclosed,
    exhibit_folder,
    is_original,
    run_folder,
    validation_folder,
)
from forensic.errors import InternalError

WORDING = "bundle.toml"


def wording() -> dict[str, Any]:
    """The texts and commands. Raises ``InternalError`` (``resources.missing``)."""
    try:
        return tomllib.loads((resources.reports_dir() / "wording" / WORDING).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InternalError("resources.missing", f"{WORDING} cannot be read: {error}", "Install it again.") from error


def instructions(disclosed: Disclosed, files: Collection[str], size: int) -> bytes:
    """The text for a bundle with these payload ``files``, whose checkpoint covers ``size`` entries."""
    words = wording()
    lines = [f"# {words['title']}", ""]
    if disclosed.generative:
        if LABEL not in words["generative"]:
            raise InternalError("resources.missing", f"{WORDING} lacks the label of generated material.")
        lines += [f"> **{words['generative']}**", ""]
    lines += [words["intro"], "", words["with_software"], "", f"## {words['contents']}", ""]
    lines += [*_contents(disclosed, size), "", f"## {words['commands']}", ""]
    number = 0
    for step in words["steps"]:
        if _applies(step["id"], disclosed, files):
            number += 1
            lines += _step(number, step, words)
    lines += [f"## {words['limits']}", "", *(f"- {line}" for line in words["limit"]), ""]
    return "\n".join(lines).encode("utf-8")


def _contents(disclosed: Disclosed, size: int) -> Iterator[str]:
    issued = disclosed.issued
    yield f"- Bundle `{disclosed.name}`: case {_quoted(issued.case)}, entry {issued.seq} of {size}, {issued.utc}"
    for entry, acquired in disclosed.exhibits:
        state = (
            "with the original" if disclosed.original(entry, acquired) else "hash only, the original is not included"
        )
        if entry.exhibit in disclosed.destroyed:
            state = "the copy was destroyed, says the ledger"
        yield f"- Exhibit {_quoted(entry.exhibit)}, `{exhibit_folder(acquired)}`: {state}"
    for run_id, entry in disclosed.runs:
        stage_class = str(entry.data.get("stage_class"))
        label = f" **{LABEL}**" if stage_class == "generative" else ""
        yield f"- Run `{run_folder(run_id)}` on exhibit {_quoted(entry.exhibit)}: {stage_class} class.{label}"
    for run_id, end in disclosed.other_runs:
        yield f"- Run {_quoted(run_id)}: `{end}`; in the history, its files are not in this bundle"
    for one in disclosed.validations:
        yield f"- Validation `{validation_folder(one['id'])}` of the program at this laboratory, with its requirements"
    yield f"- The laboratory's history about this: `{names.ENTRIES}`, each entry with a proof in `{names.PROOFS}`"


def _quoted(text: str | None) -> str:
    """An id as ASCII in code marks: it cannot pass for anything else."""
    return "`" + json.dumps(text).replace("`", "\\u0060") + "`"


def _applies(step: str, disclosed: Disclosed, files: Collection[str]) -> bool:
    has_original = any(is_original(name) for name in files)
    conditions = {
        "checkpoint-timestamp": names.CHECKPOINT_TIMESTAMP in files,
        "cosigned": names.COSIGNED in files,
        "report-timestamps": any(name.startswith(names.TIMESTAMPS) for name in files),
        "runs": bool(disclosed.runs),
        "frames": bool(disclosed.runs),
        "originals": has_original,
        "hash-only": bool(disclosed.exhibits) and not has_original,
    }
    return conditions.get(step, True)


def _step(number: int, step: dict[str, Any], words: dict[str, Any]) -> Iterator[str]:
    yield from (f"### {number}. {step['title']}", "", step["text"], "")
    if step.get("manual"):
        yield from (words["by_hand"], "")
    yield from ("```sh" if not step.get("manual") else "```sh by-hand", *step["commands"], "```", "")
    yield from (f"{words['expect']} {step['expect']}", "")
