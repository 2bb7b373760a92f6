# Two commands set up everything: `make run` and `make test`. To see the page first: `make quick`.
PYTHON ?= python3
VENV := .venv
# CUDA=1: PyTorch with CUDA, several GB, and from then on until CUDA= (nothing).
CUDA ?= $(if $(wildcard $(VENV)/ready-cuda),1)
READY := $(VENV)/ready$(if $(CUDA),-cuda)
CPU_INDEX ?= https://download.pytorch.org/whl/cpu

.PHONY: run quick test histories slow slurm lint peers gpu gpu-record study record schemas pack unpack audit lock clean

run: $(READY)  ## all studies, measurement and report: results/report.html
	$(VENV)/bin/snakemake --cores all

quick: $(READY)  ## a few units through every stage, in two minutes: results/quick/report.html
	$(VENV)/bin/snakemake --cores all --configfile config/quick.yaml

test: $(READY)  ## the specification
	$(VENV)/bin/pytest

histories: $(READY)  ## twenty random histories of edits, kills and damage, six minutes
	$(VENV)/bin/pytest -m "histories and not slow"

slow: $(READY)  ## the tests that take minutes
	$(VENV)/bin/pytest -m slow

slurm: .venv-slurm/ready  ## an environment that sends jobs to Slurm: docs/how-to/cluster.md

lint: $(READY)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/snakefmt --check Snakefile workflow
	$(VENV)/bin/snakemake --lint

peers: $(READY)  ## other packages to compare with; arms whose package is missing are left out
	$(VENV)/bin/pip install --quiet --constraint requirements.lock --requirement requirements-peers.lock

gpu: $(READY)  ## what arms for a GPU call: Triton, whose interpreter proves them on a CPU
	$(VENV)/bin/pip install --quiet --constraint requirements.lock --requirement requirements-gpu.lock

DEVICE ?= cuda
RECORD ?= results/records/$(shell date +%F)-gpu
gpu-record: $(READY)  ## on a GPU: parity with the CPU, and every arm beside what the device allows
	GPU_TEST_DEVICE=$(DEVICE) $(VENV)/bin/pytest --numprocesses 0 -m gpu
	$(VENV)/bin/python -m tests.gpu.floors $(DEVICE) "$(RECORD)"

study: $(READY)  ## begin a study of your own: make study NAME=my_study
	$(VENV)/bin/python -m scripts.spine.new_study "$(NAME)"

record: $(READY)  ## keep what a run found of the claims: make record RUN=results/claims NAME=claims
	$(VENV)/bin/python -m scripts.spine.record "$(RUN)" "$(NAME)"

schemas: $(READY)  ## schemas of all sections for editors, from the models
	$(VENV)/bin/python -m scripts.spine.schemas

RESULTS ?= results
ARCHIVE ?= $(subst /,-,$(RESULTS)).tar.gz
pack: $(READY)  ## results as one archive for another clone: make pack [RESULTS=results] [ARCHIVE=...]
	$(VENV)/bin/python -m scripts.spine.share pack "$(RESULTS)" "$(ARCHIVE)"

unpack: $(READY)  ## an archive of `make pack` into this clone: make unpack ARCHIVE=results.tar.gz
	$(VENV)/bin/python -m scripts.spine.share unpack "$(ARCHIVE)"

audit:  ## known faults of the pinned packages; fails where the registry has no answer
	test -x .venv-audit/bin/pip-audit || { $(PYTHON) -m venv .venv-audit && .venv-audit/bin/pip install --quiet pip-audit; }
	.venv-audit/bin/pip-audit --strict --no-deps --disable-pip --requirement requirements.lock

$(READY): requirements.lock
	@test ! -L $(VENV) || { echo "$(VENV) is a link to another environment, which would be emptied; remove the link."; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "isospeed needs Python 3.11 or newer; name one with: make PYTHON=python3.12 run")'
	@echo "Installing into $(VENV): 2 GB, some minutes."
	$(PYTHON) -m venv --clear $(VENV)
	$(if $(CUDA),,$(cpu_torch))
	{ command -v uv > /dev/null && uv pip install --quiet --python $(VENV)/bin/python --requirement requirements.lock; } || \
	  $(VENV)/bin/pip install --quiet --requirement requirements.lock
	touch $(READY)

# PyPI's PyTorch for Linux brings CUDA. Where PyTorch's own index has no answer, the registry's is taken.
define cpu_torch
test "$$(uname -s)" != Linux || \
	  $(VENV)/bin/pip install --quiet --no-deps --retries 0 --timeout 10 --index-url $(CPU_INDEX) \
	    "$$(grep '^torch==' requirements.lock)" 2> /dev/null || \
	  echo "$(CPU_INDEX) has no answer; the registry's PyTorch may bring several GB of CUDA."
endef

# Sees the packages of the other environment, and adds to them: no second copy of two gigabytes.
.venv-slurm/ready: $(READY) requirements-slurm.lock
	$(VENV)/bin/python -m venv --clear .venv-slurm
	$(VENV)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' > \
	  "$$(.venv-slurm/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/isospeed.pth"
	.venv-slurm/bin/pip install --quiet --requirement requirements-slurm.lock
	printf '#!%s\nimport sys\nfrom snakemake.cli import main\nsys.exit(main())\n' \
	  "$(CURDIR)/.venv-slurm/bin/python" > .venv-slurm/bin/snakemake
	chmod +x .venv-slurm/bin/snakemake
	touch .venv-slurm/ready

lock:  ## newest versions that pyproject.toml allows, tried in an environment of their own
	$(PYTHON) -m venv --clear .venv-lock
	.venv-lock/bin/pip install --quiet --upgrade pip
	.venv-lock/bin/pip install --quiet --group dev .
	(echo '# Every package of the run and test environment, pinned; made by `make lock` from pyproject.toml.'; \
	 .venv-lock/bin/pip freeze --exclude isospeed | sed 's/+cpu//') > requirements.lock
	.venv-lock/bin/pip install --quiet --constraint requirements.lock --group peers
	(echo '# What the group `peers` adds to requirements.lock, pinned; made by `make lock`.'; \
	 .venv-lock/bin/pip freeze --exclude isospeed | sed 's/+cpu//' | grep -vxFf requirements.lock) > requirements-peers.lock
	.venv-lock/bin/pip install --quiet --constraint requirements.lock --group gpu
	(echo '# What the group `gpu` adds to requirements.lock, pinned; made by `make lock`.'; \
	 .venv-lock/bin/pip freeze --exclude isospeed | sed 's/+cpu//' | grep -vxFf requirements.lock -f requirements-peers.lock) \
	  > requirements-gpu.lock
	rm -r .venv-lock

clean:  ## results and caches, not the environment and not the records
	rm -rf .snakemake
	find results -mindepth 1 -maxdepth 1 ! -name README.md ! -name records -exec rm -r {} +
