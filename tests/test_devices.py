"""The key `device`: who computes on a GPU, what is refused, what two devices have in common.

This machine may have no GPU, so what it has is replaced where a test is about one.
"""

import os
import subprocess
import sys
from copy import deepcopy
from types import SimpleNamespace

import pandas as pd
import pytest

from scripts.lib import devices, provenance
from scripts.lib.agreement import of_one_processor
from scripts.lib.code import ROOT, device_of
from scripts.lib.comparison import compare, kind_of
from scripts.lib.config import read_settings
from scripts.lib.faults import ConfigError, ContractError
from scripts.lib.parsed import facts
from scripts.spine.cluster import gpus_of
from scripts.spine.jobs import Jobs
from scripts.spine.section import two_stage_section
from scripts.spine.two_stage import two_stage
from tests.rule_files import read, shipped

STUDY = two_stage("engression")
GPU = {"gpu": "NVIDIA X", "capability": "9.0", "driver": "1.2", "tf32_matmul": False}


@pytest.fixture
def no_gpu(monkeypatch):
    """A machine without a driver."""
    monkeypatch.delenv(devices.PLANNED, raising=False)
    monkeypatch.setattr(devices, "obstacle", lambda: "this machine has no driver of NVIDIA's")


@pytest.fixture
def with_gpu(monkeypatch):
    """A machine on which PyTorch can use a GPU, by all that is asked before the first job."""
    monkeypatch.delenv(devices.PLANNED, raising=False)
    monkeypatch.setattr(devices, "obstacle", lambda: "")


def jobs(device: str | None, **changes) -> Jobs:
    """The jobs of engression with a device, as the rules get them."""
    config = deepcopy(shipped()["engression"]) | changes
    section = read_settings(two_stage_section(STUDY), config, "engression")
    return Jobs(STUDY, section.model_copy(update={"device": device}), 42)


def test_auto_is_the_gpu_where_there_is_one_and_else_the_cpu(monkeypatch, no_gpu):
    assert devices.chosen("auto", "device", here=True) == "cpu"
    monkeypatch.delenv(devices.PLANNED)
    monkeypatch.setattr(devices, "obstacle", lambda: "")
    assert devices.chosen("auto", "device", here=True) == "cuda"


def test_a_node_of_a_cluster_takes_over_what_the_machine_that_plans_chose(monkeypatch, with_gpu):
    monkeypatch.setenv(devices.PLANNED, "cpu")
    assert devices.chosen("auto", "device", here=False) == "cpu"


def test_a_gpu_that_is_not_there_is_refused_in_a_sentence_where_jobs_run_here(no_gpu):
    with pytest.raises(ConfigError) as error:
        devices.chosen("cuda", "engression.device", here=True)
    assert str(error.value) == (
        "Config: engression.device is 'cuda', but this machine has no driver of NVIDIA's; use "
        "'cpu' or 'auto'."
    )
    assert devices.chosen("cuda", "device", here=False) == "cuda"
    assert devices.chosen("cpu", "device", here=True) == "cpu"


@pytest.mark.parametrize(
    ("told", "has"),
    [
        ("cuda: Optional[str] = None\n", False),
        ("cuda: Optional[str] = '12.8'\n", True),
        ('cuda = "13.0"\n', True),
        ("hip: Optional[str] = '6.4'\ncuda: Optional[str] = None\n", False),
        ("", False),
    ],
)
def test_a_build_of_pytorch_says_whether_it_has_cuda(tmp_path, monkeypatch, told, has):
    (tmp_path / "version.py").write_text(f"__version__ = '2.13.0'\n{told}")
    place = SimpleNamespace(origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(devices, "find_spec", lambda name: place)
    assert devices.torch_has_cuda() is has


def test_the_file_of_the_build_says_what_pytorch_says():
    import torch

    assert devices.torch_has_cuda() is (torch.version.cuda is not None)


@pytest.mark.parametrize("hidden", ["", "-1"])
def test_hidden_gpus_are_none(monkeypatch, hidden):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    assert devices.obstacle.__wrapped__() == "CUDA_VISIBLE_DEVICES hides every GPU"


def test_a_driver_without_a_build_for_it_is_an_obstacle(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(devices.ctypes, "CDLL", lambda name: None)
    monkeypatch.setattr(devices, "DRIVER", (str(ROOT),))
    monkeypatch.setattr(devices, "torch_has_cuda", lambda: False)
    assert devices.obstacle.__wrapped__().startswith("PyTorch is installed without CUDA")
    monkeypatch.setattr(devices, "torch_has_cuda", lambda: True)
    assert devices.obstacle.__wrapped__() == ""
    monkeypatch.setattr(devices, "DRIVER", ("/nowhere/at/all",))
    assert devices.obstacle.__wrapped__() == "this machine has no driver of NVIDIA's"


def test_planning_looks_for_a_gpu_without_importing_pytorch():
    told = "import sys; from scripts.lib.devices import obstacle; obstacle(); "
    told += "sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", told], cwd=ROOT).returncode == 0


def test_the_key_of_a_study_goes_before_that_of_all(with_gpu):
    config = shipped() | {"device": "cuda"}
    config["tep_bp"]["device"] = "cpu"
    found = read(config)
    devices_by_study = {name: study.settings.device for name, study in found["STUDY"].items()}
    assert devices_by_study["engression"] == "cuda"
    assert devices_by_study["tep_bp"] == "cpu"


def test_a_gpu_that_is_not_there_stops_before_the_first_job(no_gpu):
    own = shipped()["engression"] | {"device": "cuda"}
    for config, where in (
        (shipped() | {"device": "cuda"}, "device"),
        (shipped() | {"engression": own}, "engression.device"),
    ):
        with pytest.raises(Exception, match=f"^Config: {where} is 'cuda', but this machine has no"):
            read(config)


def test_a_study_that_is_off_asks_for_nothing(no_gpu):
    config = shipped() | {"studies": ["engression"]}
    config["tep_bp"]["device"] = "cuda"
    read(config)


def test_a_device_that_is_none_is_refused_with_those_that_are():
    with pytest.raises(Exception, match="device is 'gpu'"):
        read(shipped() | {"device": "gpu"}, "engression")


def test_only_arms_whose_implementation_can_compute_on_the_gpu():
    asked = jobs("cuda", reps=4)
    able = [name for name in asked.section.arms if asked.device(name) == "cuda"]
    assert able == ["stacked"]
    assert {jobs(device).device("stacked") for device in ("cpu", None)} == {"cpu"}
    block = "reps-000-003"
    told = {arm: asked.train(arm, block).device for arm in ("stacked", "antithetic")}
    assert told == {"stacked": "cuda", "antithetic": "cpu"}
    assert asked.train("antithetic", block) == jobs("cpu", reps=4).train("antithetic", block)
    assert asked.train("stacked", block) != jobs("cpu", reps=4).train("stacked", block)


def test_every_study_has_arms_that_compute_on_the_gpu(with_gpu):
    config = shipped() | {"device": "cuda"}
    for name in ("deep_gpcm", "tep_bp"):
        assert config[name]["device"] == "cpu", "the result arm's ratio is of one device"
        config[name]["device"] = "cuda"
    found = read(config)
    gpcm, lora, trials = found["GPCM_JOBS"], found["LORA_JOBS"], found["TEP_JOBS"]
    on = {arm: gpcm.train(arm, []).device for arm in ("reference", "fused", "hoisted", "stacked")}
    assert on == {"reference": "cuda", "fused": "cpu", "hoisted": "cuda", "stacked": "cuda"}
    on = {arm: job.device for (arm, _), job in trials.items()}
    assert [on[arm] for arm in ("reference", "gated", "stacked")] == ["cuda", "cpu", "cuda"]
    on = {arm: job.device for (arm, _), job in lora.trains.items()}
    assert [on[arm] for arm in ("reference", "resident", "stacked")] == ["cpu", "cpu", "cuda"]
    assert [lora.prepare(arm).device for arm in ("resident", "stacked")] == ["cpu", "cuda"]
    families = {name: lora.family(name) for name in ("moments", "product")}
    assert {name: job.module for name, job in families.items()} == {
        "moments": "on_device", "product": "product",
    }  # fmt: skip


def test_an_arm_may_have_a_device_of_its_own(with_gpu, monkeypatch):
    config = shipped() | {"device": "cpu"}
    config["deep_gpcm"]["arms"]["reference"]["device"] = "cuda"
    jobs_of = read(config)["GPCM_JOBS"]
    on = {arm: jobs_of.train(arm, []).device for arm in ("reference", "truth", "hoisted")}
    assert on == {"reference": "cuda", "truth": "cpu", "hoisted": "cpu"}
    monkeypatch.setattr(devices, "obstacle", lambda: "this machine has no driver of NVIDIA's")
    with pytest.raises(Exception, match=r"^Config: deep_gpcm.arms.reference.device is 'cuda', but"):
        read(config)


def test_a_measurement_asks_for_a_gpu_if_a_contestant_computes_on_it():
    def plan(device):
        contestants = [SimpleNamespace(job=SimpleNamespace(device=d)) for d in ("cpu", device)]
        return [SimpleNamespace(contestants=contestants)]

    assert gpus_of(plan("cuda")) == 1
    assert gpus_of(plan("cpu")) == 0
    assert gpus_of([SimpleNamespace(contestants=[SimpleNamespace(job={})])]) == 0


DECLARED = """
@implementation
def plain(unit):
    return {}

@implementation(devices=("cpu", "cuda"))
def able(unit):
    return {}

@implementation(stack=len)
def together(units):
    return []
"""


def test_what_an_implementation_can_is_read_from_its_source():
    can = {"plain": ["cpu"], "able": ["cpu", "cuda"], "together": ["cpu"]}
    assert facts(DECLARED.encode())["implementations"] == can
    for script, name, device in (
        ("scripts/engression/study.py", "stacked", "cuda"),
        ("scripts/engression/study.py", "projected", "cpu"),
        ("scripts/tep_bp/unit.py", "stacked", "cuda"),
        ("scripts/tep_bp/unit.py", "fused", "cpu"),
    ):
        assert device_of("cuda", script, name) == device
        assert device_of("cpu", script, name) == "cpu"
    choices = "scripts/deep_gpcm/models/choices.py"
    assert device_of("cuda", choices, "tables", "triton_memory") == "cuda"
    assert device_of("cuda", choices, "tables", "fused_memory") == "cpu"


def test_devices_that_are_not_written_out_are_refused():
    text = DECLARED.replace('("cpu", "cuda")', "ABLE").encode()
    with pytest.raises(ConfigError, match=r"^The devices of the implementation able are ABLE; wri"):
        facts(text)


def test_an_edit_of_an_implementation_with_a_call_in_its_decorator_counts_for_its_arms_alone():
    def text(body):
        return (
            "def shape(unit):\n    return 1\n\n@implementation(stack=shape)\ndef a(units):\n"
            f"    return {body}\n\n@implementation\ndef b(unit):\n    return 2\n"
        ).encode()

    first, second = text("units"), text("list(units)")
    assert list(facts(first)["implementations"]) == ["a", "b"]
    only = frozenset(["b"])
    assert facts(first, only)["digest"] == facts(second, only)["digest"]
    only = frozenset(["a"])
    assert facts(first, only)["digest"] != facts(second, only)["digest"]


def test_two_processes_take_two_gpus_and_a_third_shares_one(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    told = "from scripts.lib.devices import free_gpu; print(free_gpu(2), flush=True); input()"
    started = []
    try:
        for _ in range(3):
            process = subprocess.Popen(
                [sys.executable, "-c", told], cwd=ROOT, text=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            )  # fmt: skip
            started.append((process, int(process.stdout.readline())))
        assert [number for _, number in started[:2]] == [0, 1]
        assert started[2][1] in (0, 1)
        started[0][0].communicate("\n")
        again = subprocess.run(
            [sys.executable, "-c", told], cwd=ROOT, text=True, input="\n", capture_output=True
        )
        assert again.stdout.strip() == "0"
    finally:
        for process, _ in started:
            process.kill()
            process.communicate()


@pytest.mark.skipif(devices.obstacle() == "", reason="there is a GPU")
def test_a_job_that_finds_no_gpu_ends_in_a_sentence():
    with pytest.raises(ContractError, match=r"^PyTorch finds no GPU that it can use[^\n]*\.$"):
        devices.torch_device("cuda")


def test_rows_of_a_gpu_name_it_and_have_bits_of_their_own(monkeypatch):
    monkeypatch.setattr(provenance, "gpu", lambda: GPU)
    found = provenance.of_devices(["cpu", "cuda"])
    assert found["gpu"] == GPU
    assert found["processor"] == f"NVIDIA X, {provenance.processor()}"
    assert found["instruction_set"] == provenance.instruction_set("cuda")
    assert found["instruction_set"] != provenance.instruction_set()
    other = GPU | {"gpu": "NVIDIA Y"}
    monkeypatch.setattr(provenance, "gpu", lambda: other)
    assert provenance.instruction_set("cuda") != found["instruction_set"]
    assert provenance.of_devices(["cpu"]) == {}


def test_bits_are_compared_within_one_device(monkeypatch):
    monkeypatch.setattr(provenance, "gpu", lambda: GPU)
    kinds = [provenance.instruction_set(device) for device in ("cpu", "cuda")]
    both = pd.DataFrame({"instruction_set_arm": kinds, "instruction_set_ref": [kinds[0]] * 2})
    assert of_one_processor(both).index.tolist() == [0]


def timed(contestant: str, device: str, wall_s: float, arm: str = "") -> list[dict]:
    labels = {"contestant": contestant, "arm": arm or contestant, "threads": 1, "workers": 1}
    labels |= {"units": 3, "units_ok": 3, "call": 1, "minor_faults": 0.0, "device": device}
    return [labels | {"round": i, "wall_s": wall_s * (1 + i / 100)} for i in range(1, 6)]


def test_contestants_of_two_devices_have_no_ratio_and_differ_in_hardware():
    rows = timed("base", "cpu", 10.0) + timed("base_again", "cpu", 10.0, "base")
    table = pd.DataFrame(rows + timed("stacked", "cuda", 1.0))
    found = compare(
        table, "base", "stacked", "wall_s", {"stacked": (True, "")}, ("base", "base_again")
    )
    assert found.verdict == "not comparable"
    assert found.ratio is None
    assert found.reason == "one ran on cpu, the other on cuda: a ratio would be hardware's"
    assert found.kind == "implementation and hardware"
    same = table.assign(device="cuda")
    found = compare(
        same, "base", "stacked", "wall_s", {"stacked": (True, "")}, ("base", "base_again")
    )
    assert found.ratio.value == pytest.approx(10)
    by_name = dict(tuple(table.assign(arm="base").groupby("contestant")))
    assert kind_of(by_name["base"], by_name["stacked"]) == "hardware"


RULES = """
rule all:
    input: expand("{n}.done", n=range(3))

rule work:
    output: "{n}.done"
    resources: gpu=1
    shell: "mkdir gpu && sleep 0.3 && rmdir gpu && touch {output}"
"""


def test_two_jobs_with_one_gpu_never_run_together(tmp_path):
    """By Snakemake's own scheduler, with the profile that ships: a second one finds the folder."""
    (tmp_path / "Snakefile").write_text(RULES)
    command = [sys.executable, "-m", "snakemake", "--cores", "3"]
    command += ["--workflow-profile", str(ROOT / "profiles/default")]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.glob("*.done"))) == 3
