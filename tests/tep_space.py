"""The search space of the tests: that of the original with widths up to 128."""

from scripts.tep_bp.plans.space import Space

SPACE = Space(
    hidden=[8, 16, 32, 64, 128],
    batch=[32, 64, 128, 256],
    lr=[1e-4, 1e-1],
    beta=[0.02, 1.0],
    weight_decay=[0, 1e-4, 1e-3],
    activation=["tanh", "relu"],
)
