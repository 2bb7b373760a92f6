"""Which trials of a job are stacked (spec 5.2, 6.4)."""

from scripts.tep_bp.trial import Trial


def groups(trials: list[Trial]) -> list[list[Trial]]:
    """Trials of equal (hidden, batch), narrow ones first; a group is in order of trial."""
    found: dict[tuple[int, int], list[Trial]] = {}
    for trial in sorted(trials, key=lambda trial: (trial.hidden, trial.batch, trial.trial)):
        found.setdefault((trial.hidden, trial.batch), []).append(trial)
    return list(found.values())


def stacks(trials: list[Trial], elements: int) -> list[list[Trial]]:
    """Groups cut so that the states of a stack, trials x batch x hidden, have at most `elements`.

    Larger stacks outgrow the processor's cache; a single trial is a stack whatever its size.
    """
    found = []
    for group in groups(trials):
        size = max(1, elements // (group[0].hidden * group[0].batch))
        found += [group[start : start + size] for start in range(0, len(group), size)]
    return found
