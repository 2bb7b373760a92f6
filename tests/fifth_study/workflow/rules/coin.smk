"""Biased coins: load -> train."""


configfile: "config/coin.yaml"


COIN = config["coin"]
try:
    check_config(COIN, "coin.schema.yaml", at="coin")
except ConfigError as error:
    raise WorkflowError(str(error)) from None
AXES["coin"] = ["bias", "rep"]
METRICS["coin"], PHASES["coin"] = {"heads": "number", "n_flips": "number"}, ["flip"]
COIN_UNITS = [[bias, rep] for bias in COIN["biases"] for rep in range(COIN["reps"])]
COIN_JOBS = {arm: {"arm": arm, "units": COIN_UNITS} for arm in COIN["arms"]}

if "coin" in STUDIES:
    RUNS["coin"] = [f"<results>/coin/runs/{arm}/all.parquet" for arm in COIN["run"]]
    MEASURED["coin"] = {
        "data": ["<results>/coin/data/all.parquet"],
        "script": "scripts/coin/train.py",
        "plan": partial(
            measurement_plan,
            COIN["measure"],
            lambda workload: [COIN_UNITS] * (workload["repeats"] + 1),
            lambda arm, workload: COIN_JOBS[arm],
        ),
    }


rule coin_load:
    """Flip all coins."""
    output:
        data="<results>/coin/data/all.parquet",
    log:
        "<results>/coin/logs/load.log",
    params:
        *stamps("scripts/coin/load.py"),
        spec=canonical({"seed": config["seed"], "units": COIN_UNITS, "flips": COIN["flips"]}),
    shell:
        "python -m scripts.coin.load --job {params.job:q} --data {output.data:q} 2> {log:q}"


rule coin_train:
    """Count heads by one arm."""
    input:
        data="<results>/coin/data/all.parquet",
    output:
        runs="<results>/coin/runs/{arm}/all.parquet",
    log:
        "<results>/coin/logs/train/{arm}.log",
    params:
        *stamps("scripts/coin/train.py"),
        spec=lambda w: canonical(COIN_JOBS[w.arm]),
    shell:
        "python -m scripts.coin.train --job {params.job:q} --data {input.data:q}"
        " --runs {output.runs:q} 2> {log:q}"
