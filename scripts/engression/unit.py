"""One replication: train a generator on its sample, evaluate it, give its row."""

import time

import numpy as np
import torch

from scripts.engression.arms import fit
from scripts.engression.design import AXES
from scripts.engression.laws import LAWS
from scripts.engression.metrics import against_truth, in_sample
from scripts.engression.network import layer_widths, sample
from scripts.lib.seeds import numpy_rng, seed63, stream
from scripts.lib.torch_rng import torch_rng

EARLY_EPOCH = 10


def evaluate(spec: dict, key: tuple, parameters: torch.Tensor, x: np.ndarray) -> dict[str, float]:
    """Metrics of spec 3: n generated values against x, `test_draws` of them against the law."""
    widths, draws = layer_widths(spec["net"]), spec["eval"]["test_draws"]
    y = sample(parameters, widths, len(x), torch_rng(*key, "generate")).double().numpy()
    fresh = sample(parameters, widths, draws, torch_rng(*key, "generate_test")).double().numpy()
    law = key[2]
    truth = LAWS[law].draw(numpy_rng(*key, "test"), draws)
    return in_sample(x.astype(float), y, spec["eval"]) | against_truth(truth, fresh)


def train_unit(spec: dict, x: np.ndarray, unit: list) -> dict:
    """{"row": run row, "history": [[loss, term1, term2], ...]} of the unit [law, n, rep].

    A unit whose loss is not finite has status `diverged`, one whose linear algebra breaks down
    `failed`; both carry no metrics. `early_loss` is the loss of epoch 10 (or of the last, if
    earlier), where two implementations that differ by rounding have not drifted apart yet.
    """
    key = (spec["seed"], "engression", *unit)
    row = {"study": "engression", "arm": spec["arm"], **dict(zip(AXES, unit, strict=True))}
    row |= {"seed": seed63(stream(*key)), "status": "failed", "fit_s": None, "cpu_s": None}
    row |= {"threads": torch.get_num_threads(), "device": "cpu"}
    try:
        fitted = fit(spec["trainer"], torch.from_numpy(x), spec["net"], spec["train"], key)
    except torch.linalg.LinAlgError:
        return {"row": row, "history": []}
    epochs = len(fitted.history)
    row |= {"status": "diverged", "n_epochs": epochs, "n_steps": fitted.n_steps}
    row |= {
        "noise_rows": fitted.noise_rows,
        "hit_cap": float(epochs == spec["train"]["max_epochs"]),
    }
    row |= fitted.cost
    if not fitted.diverged:
        start = time.perf_counter()
        final = dict(
            zip(("final_loss", "final_term1", "final_term2"), fitted.history[-1], strict=True)
        )
        early = fitted.history[min(EARLY_EPOCH, epochs) - 1][0]
        row |= final | {"best_loss": fitted.best_loss, "early_loss": early, "status": "ok"}
        row |= evaluate(spec, key, fitted.parameters, x)
        row["eval_s"] = time.perf_counter() - start
    return {"row": row, "history": fitted.history}
