"""The columns that name a unit of this study."""

AXES = ["stage", "representation", "layers", "share", "run"]
