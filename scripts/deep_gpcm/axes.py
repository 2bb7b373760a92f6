"""The columns that name a unit of this study."""

AXES = ["data", "fold"]
