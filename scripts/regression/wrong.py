"""Wrong on purpose: draws pooled over data points that have covariates, for a control."""

from scripts.engression.models.projected import ProjectedGradient


class PoolsGiven(ProjectedGradient):
    """Wrong: every draw of a batch serves all its points, so that covariates do not matter."""

    def __init__(self, *told):
        super().__init__(*told)
        self.pools = True
