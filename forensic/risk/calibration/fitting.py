"""From counted recordings to an artefact."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from forensic.risk.calibration import artefact
from forensic.risk.calibration.laboratory import Laboratory
from forensic.risk.calibration.software import versions_of
from forensic.risk.calibration.strata import CLAIMS, Group, fit
from forensic.risk.calibration.testing import DELTA, EPSILON


def calibration_of(
    groups: Sequence[Group],
    subject: artefact.Subject,
    *,
    head_sha256: str | None,
    origin: Literal["shipped", "laboratory"],
    recordings_class: str,
    scenes_sha256: str,
    recordings_sha256: str,
    software: Mapping[str, str],
    laboratory: Callable[[Sequence[artefact.Stratum]], Laboratory] | None = None,
) -> artefact.Calibration:
    """Fit and put together the artefact of ``subject`` with the claims and error rates of this program.

    ``head_sha256``: of the head whose R is the score, None for the score ``sum/1``. ``recordings_class``: class S in
    words. The digests are those of the list of scenes and of the table of counts. ``software``: what ``versions_of``
    does not tell, or not as it was when the recordings were scored. ``laboratory``: what a laboratory's
    own says besides, its held-out test of the strata included. Raises ``ValueError`` where the groups do not make an
    artefact.
    """
    each, strata = fit(groups, subject.scale, CLAIMS, EPSILON, DELTA)
    about: dict[str, Any] = {"schema": artefact.SCHEMA, "class": recordings_class}
    score = artefact.SUM if head_sha256 is None else artefact.QUANTILE
    return artefact.Calibration(
        **about,
        origin=origin,
        score=score,
        head_sha256=head_sha256,
        subject=subject,
        epsilon=EPSILON,
        delta=DELTA,
        delta_each=each,
        claims=list(CLAIMS),
        strata=strata,
        scenes_sha256=scenes_sha256,
        recordings_sha256=recordings_sha256,
        software=versions_of(score, subject.precision) | dict(software),
        laboratory=None if laboratory is None else laboratory(strata),
    )
