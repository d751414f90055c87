"""Types that the parts of a calibration artefact have in common: strict, frozen, bounded."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Text = Annotated[str, Field(min_length=1, max_length=4000)]
MOST_OF_NAME = 120
Name = Annotated[str, Field(min_length=1, max_length=MOST_OF_NAME)]
Digest = Annotated[str, Field(pattern=r"\A[0-9a-f]{64}\z")]
Share = Annotated[float, Field(gt=0, lt=1)]
Rate = Annotated[float, Field(ge=0, le=1)]
Level = Annotated[float, Field(ge=0, le=255, allow_inf_nan=False)]
Value = Annotated[float, Field(allow_inf_nan=False)]
#: More recordings than one calibration has (docs/formats/calibration.md); what checks a count takes time with it.
MOST = 20_000
MOST_STRATA = MOST_CLAIMS = 8
CountOf = Annotated[int, Field(ge=0, le=MOST)]


class Part(BaseModel):
    """A part of the artefact: unknown keys and other types are refused."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
