"""The invisible mark of generative output in a file that is acquired: looked for, and what was found on the record.

Every acquisition looks, whether this workspace has generative runs or not: the public mark is the same everywhere.
Whose output it is can be said of runs of this workspace only.
"""

from __future__ import annotations

from forensic.case.exhibits import exhibit_of
from forensic.case.generativeruns import generative_runs
from forensic.case.workspace import Workspace
from forensic.errors import VerificationFailed
from forensic.frames.stageclass import StageClass
from forensic.ledger.order import ACQUIRED, STARTED
from forensic.media.watermark_keys import run_key
from forensic.media.watermark_search import Found, Looked, Sample, look

MOST_KEYS = 12  # runs whose own marks are looked for, the newest: each costs up to 0.2 s


def look_for_mark(workspace: Workspace, sample: Sample) -> Looked:
    """Search the frames of ``sample`` for the public mark and those of the workspace's newest generative runs."""
    keys = _keys(workspace)
    return look(sample, dict(list(keys.items())[-MOST_KEYS:]))


def findings(looked: Looked) -> list[tuple[StageClass, str]]:
    """The class that the mark gives the file, with the reason in words; nothing where there is no mark.

    A run's own mark is the weaker one: where there are keys of runs here, not naming one says nothing. The public
    mark is no secret, and the key of a run is known to all who hold its record: either can be put into genuine
    footage too (docs/creative.md, Planting). So the words tell what is there, not who made the picture.
    """
    if not looked.found:
        return []
    run, best = looked.run_found, looked.best
    marks, told = [], []
    if best is not None:
        marks.append("the invisible mark that this program puts into generative output")
        told.append(_measured(best))
        told.append("the mark is public and can be put in by others")
    if run is not None and looked.run is not None:
        marks.append(f"the {'' if marks else 'invisible '}mark of run {run}, or one of the same exhibit and recipe")
        told += [] if best is not None else [_measured(looked.run[1])]
        told.append("that of a run can be put in by whoever holds its record")
    else:
        told.append("no run of this workspace is named by its own mark")
    return [(StageClass.GENERATIVE, f"its pixels carry {' and '.join(marks)} ({'; '.join(told)})")]


def _measured(found: Found) -> str:
    lies = f"; the picture is {found.turned}" if found.turned else ""
    return f"agreement {found.z:.1f}; by chance with at most {found.p:.0e}; size {found.scale:.2f}{lies}"


def _keys(workspace: Workspace) -> dict[str, bytes]:
    """Key of each generative run by the run's name, in the order of the ledger; one name for each key, the newest."""
    digests: dict[str | None, str] = {}
    for entry in workspace.ledger.entries(event=ACQUIRED):
        try:
            digests[entry.exhibit] = exhibit_of(workspace, entry).sha256
        except VerificationFailed:
            continue  # malformed: no run can have begun on it
    runs = generative_runs(workspace)
    names: dict[bytes, str] = {}
    for entry in workspace.ledger.entries(event=STARTED):
        recipe = entry.data.get("recipe")
        sha256 = recipe.get("sha256") if isinstance(recipe, dict) else None
        if entry.run in runs and isinstance(sha256, str) and entry.exhibit in digests:
            key = run_key(digests[entry.exhibit], sha256)
            names.pop(key, None)
            names[key] = entry.run or ""
    return {name: key for key, name in names.items()}
