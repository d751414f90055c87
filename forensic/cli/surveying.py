"""``survey``: what an exhibit is like, before anything is done to it."""

from __future__ import annotations

from pathlib import Path

import click

from forensic.cli.options import Text, existing_or_new, json_option, quiet_option, workspace_option
from forensic.cli.runs import FRAMES
from forensic.cli.terminal import reporter, result, result_json


@click.command()
@click.argument("target", metavar="EXHIBIT|FILE", type=Text(4096))
@click.option("--frames", type=FRAMES, help="Frames A to B-1 by index, half-open; default: all.")
@workspace_option
@json_option
@quiet_option
def survey(
    target: str, frames: tuple[int | None, int | None] | None, workspace: Path | None, as_json: bool, quiet: bool
) -> None:
    """Measure blur, noise, coding, interlacing, repeats and true resolution of an exhibit (or a FILE, acquired first).

    Every number comes with an interval, or with the reason why there is none; what follows for the choice of a
    recipe is said (`enhance --recipe auto` does it). The whole is an entry of the ledger.
    """
    from forensic.case.enhance import exhibit_for
    from forensic.case.plan import frame_range
    from forensic.case.surveying import survey_exhibit
    from forensic.estimation.wording import in_words

    say = reporter(quiet)
    with existing_or_new(workspace, "survey", say) as opened:
        exhibit = exhibit_for(opened, target, say)
        surveyed = survey_exhibit(opened, exhibit, frame_range(frames, exhibit.frame_count), reporter(True))
        entry = opened.ledger.entry(surveyed.seq)
    if as_json:
        result_json({"entry": entry.seq, **entry.data})
        return
    answers = in_words(entry.data["survey"])
    width = max(len(name) for name, _ in answers)
    for name, answer in answers:
        result(f"{name:<{width}}  {answer}")
    for sentence in (*surveyed.proposal.reasons, *surveyed.proposal.cautions):
        result(f"  {sentence}")
    result(f"proposed recipe: {surveyed.proposal.recipe}, by entry {entry.seq}")
