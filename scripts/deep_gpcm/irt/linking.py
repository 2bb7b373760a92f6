"""One linear map from the scale of estimates to that of the truth."""

from dataclasses import replace

import numpy as np

from scripts.deep_gpcm.irt.parameters import Parameters


def aligned(estimates: Parameters, truth: Parameters) -> tuple[Parameters, Parameters]:
    """Both with the students that both know, paired by id and never by place.

    The source compares its test students with the first n true abilities, which belong to others
    (spec 7.2-6). Students whose estimate is NaN are left out.
    """
    known = estimates.student[~np.isnan(estimates.theta)]
    common = np.intersect1d(known, truth.student)
    return tuple(replace(p, student=common, theta=p.theta_of(common)) for p in (estimates, truth))


def mean_sigma(theta: np.ndarray, reference: np.ndarray) -> tuple[float, float]:
    """(A, B) such that A theta + B has the mean and the standard deviation of `reference`.

    NaN where theta (S,) does not vary: no map makes it the reference's scale.
    """
    if len(theta) < 2 or np.ptp(theta) == 0:
        return np.nan, np.nan
    slope = float(reference.std() / theta.std())
    return slope, float(reference.mean() - slope * theta.mean())


def linked(estimates: Parameters, slope: float, shift: float) -> Parameters:
    """The estimates on another scale: A theta + B, alpha / A and A beta + B (spec 6)."""
    return replace(
        estimates,
        theta=slope * estimates.theta + shift,
        alpha=estimates.alpha / slope,
        beta=slope * estimates.beta + shift,
    )
