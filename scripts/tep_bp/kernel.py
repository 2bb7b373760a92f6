"""Compile the fused trainer once for all jobs: a folder for Numba (scripts/lib/compiled.py)."""

from pathlib import Path

from scripts.lib.compiled import compile_once
from scripts.lib.stage import stage


def compile_trainer() -> None:
    """All that the trainer calls."""
    from scripts.tep_bp.models.fused.compile import compile_all

    compile_all()


def main(compiled: Path) -> None:
    compile_once(compile_trainer, compiled)


if __name__ == "__main__":
    stage(main)
