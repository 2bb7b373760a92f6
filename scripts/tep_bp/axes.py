"""The columns that name a unit of this study."""

AXES = ["stage", "rule", "trial"]
