"""Results of neighbouring frames averaged where they show the same thing: against flicker that processing made."""

from __future__ import annotations

import numpy as np

from forensic.media.opencv import opencv
from forensic.stages.parameters import parameter
from forensic.stages.stage import StageCard
from forensic.stages.temporal_average import TemporalAverage, TemporalAverageParameters


class SteadyParameters(TemporalAverageParameters):
    """As temporal averaging, with a scale below which differences are taken for flicker."""

    frames: int = parameter(
        4, title="Frames on either side", unit="frames", ge=1, le=8, description="4 averages up to nine frames."
    )
    noise: float = parameter(
        8.0,
        title="Flicker",
        unit="grey levels (standard deviation)",
        ge=0.2,
        le=50.0,
        description="Differences that are left between two frames after smoothing; what is far beyond is motion.",
    )
    detail: float = parameter(
        2.5,
        title="Detail",
        unit="pixels (standard deviation)",
        ge=0.5,
        le=16.0,
        description="Differences finer than this are taken for flicker, not for motion.",
    )


class Steady(TemporalAverage):
    """Averages results over a few frames where they agree but for fine detail."""

    name = "steady"
    title = "Steadying of results over time"
    parameters: SteadyParameters
    parameter_model = SteadyParameters
    _least_share = 0.3  # another scene matches here and there by chance, more often without fine detail
    card = StageCard(
        explanation=(
            "Restoring each frame on its own draws fine detail slightly differently every time, which is seen as "
            "boiling. Here the results of a few neighbouring frames are shifted onto the present one and averaged. "
            "Whether a frame shows the same thing at a place is judged without fine detail, which is what boils; "
            "where it does not, because something moved or the light changed, it is left out. It belongs after an "
            "enlargement that looks at one frame at a time. The shift and the mean weight of every frame are recorded."
        ),
        artefacts=(
            "A thing of the size of the stated detail or smaller, that moves, is blurred over the averaged time or "
            "lost: rain, a distant walker, a moving character of a sign. Look at such a thing without this stage. "
            "Measured with nine frames, noise of 3 grey levels and the defaults: of a moving line 1 pixel wide and 40 "
            "levels strong 4.5 were left; 2 pixels wide 38.5 (of 20 levels 2.2); 4 pixels wide, of 20 levels 13.3 and "
            "of 12 levels 1.1; 8 pixels wide, of 12 levels 6.1; 16 pixels wide, 10.7.",
            "What moves differently from the picture as a whole keeps its flicker.",
            "Errors that neighbouring frames share are not reduced: the picture is steadier, hardly truer.",
            "Fine detail that changes between frames (a flashing light of a few pixels) is smoothed over time.",
        ),
        references=(
            "W.-S. Lai, J.-B. Huang, O. Wang, E. Shechtman, E. Yumer, M.-H. Yang, Learning Blind Video Temporal "
            "Consistency, ECCV 2018 (the measure; its network is not used here).",
            *TemporalAverage.card.references,
        ),
    )

    def _compared(self, difference: np.ndarray) -> np.ndarray:
        """The difference without what is finer than the stated detail."""
        cv2 = opencv()
        detail = self.parameters.detail
        return np.asarray(cv2.GaussianBlur(difference, (0, 0), detail, borderType=cv2.BORDER_REPLICATE))
