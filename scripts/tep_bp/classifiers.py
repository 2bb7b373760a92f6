"""What the accuracy of a task is worth: how it was read, and what scikit-learn reaches on it.

Writes reading.csv (columns what, how) and classifiers.csv: a row for logistic regression and one
for a multilayer perceptron, with scikit-learn's own settings, trained on training and validation
samples together and scored once on the test samples, as the best trials are. Columns: classifier,
test_accuracy (mean over seeds), low, high (Wilson's 95 % over test samples), seeds, samples,
converged (seeds that did before the last iteration). Random: the perceptron's weights and batches,
seeded by the streams (seed, "tep_bp", "classifiers", number).
"""

import warnings
from pathlib import Path

import numpy as np

from scripts.lib.seeds import stream
from scripts.lib.stage import stage
from scripts.lib.stats import wilson
from scripts.lib.table_files import together, write_frame
from scripts.tep_bp.data.scale import PIXEL
from scripts.tep_bp.data.store import Task, read_task
from scripts.tep_bp.options import Classifiers
from scripts.tep_bp.specs import STUDY, ClassifiersJob, Row

COLUMNS = ["classifier", "test_accuracy", "low", "high", "seeds", "samples", "converged"]


def scored(job: ClassifiersJob, task: Task) -> list[Row]:
    """A row for each classifier."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.neural_network import MLPClassifier

    options = job.classifiers
    seeds = [
        int(stream(job.seed, STUDY, "classifiers", number).generate_state(1)[0])
        for number in range(options.seeds)
    ]
    layers = (options.hidden,)
    perceptrons = [MLPClassifier(layers, max_iter=options.epochs, random_state=s) for s in seeds]
    return [
        _row(
            "logistic regression", [LogisticRegression(max_iter=options.iterations)], task, options
        ),
        _row(f"perceptron, {options.hidden} hidden units", perceptrons, task, options),
    ]


def _row(name: str, models: list, task: Task, options: Classifiers) -> Row:
    known = np.sort(np.concatenate([task.parts["train"], task.parts["val"]]))
    test = task.parts["test"]
    hits, converged = np.zeros(len(test)), 0
    for model in models:
        with warnings.catch_warnings():
            # That the last iteration came first is a column.
            warnings.simplefilter("ignore")
            model.fit(_numbers(task.x[known]), task.y[known])
        hits += model.predict(_numbers(task.x[test])) == task.y[test]
        converged += int(np.max(model.n_iter_) < model.max_iter)
    accuracy = float(hits.mean() / len(models))
    low, high = wilson(accuracy, len(test))
    return {
        "classifier": name,
        "test_accuracy": accuracy,
        "low": low,
        "high": high,
        "seeds": len(models),
        "samples": len(test),
        "converged": converged,
    }


def _numbers(x: np.ndarray) -> np.ndarray:
    return x.astype(np.float32) / np.float32(PIXEL) if x.dtype == np.uint8 else x


def main(spec: ClassifiersJob, task: Path, reading: Path, classifiers: Path) -> None:
    found = read_task(task)
    read = [{"what": what, "how": how} for what, how in found.reading.items()]
    write_frame(reading, together(read, ["what", "how"]))
    write_frame(classifiers, together(scored(spec, found), COLUMNS))


if __name__ == "__main__":
    stage(main)
