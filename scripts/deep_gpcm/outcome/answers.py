"""What was predicted of each answer: the category, with which confidence, at what cost."""

import numpy as np
import pandas as pd

from scripts.deep_gpcm.outcome.units import KEY


def judged(predictions: pd.DataFrame) -> pd.DataFrame:
    """Columns data, arm, fold, response, categories, predicted, confidence, correct, nll.

    The predicted category is the likeliest one, the lowest of equals. `categories` is how many
    the data set has. As in metrics.scores a probability of zero counts as the smallest float.
    """
    names = [name for name in predictions if name.startswith("p_")]
    names = sorted(names, key=lambda name: int(name.removeprefix("p_")))
    probability = predictions[names].to_numpy(float).reshape(len(predictions), len(names))
    if not probability.size:
        probability = np.zeros((len(predictions), 1))
    absent = np.isnan(probability)
    response = predictions["response"].to_numpy(np.int64)
    chance = probability[np.arange(len(response)), response]
    probability[absent] = -1.0
    predicted = probability.argmax(axis=1)
    return predictions[KEY].assign(
        response=response,
        categories=(~absent).sum(axis=1),
        predicted=predicted,
        confidence=probability.max(axis=1),
        correct=predicted == response,
        nll=-np.log(np.maximum(chance, np.finfo(float).tiny)),
    )
