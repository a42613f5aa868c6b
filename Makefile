# `make paper` sets everything up and regenerates every table and figure; `make help` lists the rest.
PYTHON ?= python3
PROFILE ?= demo
DATA ?=
# torch without CUDA, for Linux machines that have no NVIDIA GPU
TORCH_CPU_INDEX ?= https://download.pytorch.org/whl/cpu

BIN := .venv/bin
TORCH := $(shell sed -n 's/^torch==//p' constraints.txt)
# dvc.yaml says `python`: the environment's own; its kernel goes before one in the home directory
RUN := PATH="$(CURDIR)/$(BIN):$$PATH" JUPYTER_PREFER_ENV_PATH=1
.DEFAULT_GOAL := help
.PHONY: help paper params test lint lab pipeline store readme clean

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | while IFS="$$(printf '\t')" read -r name text; \
	  do printf '  make %-8s %s\n' "$$name" "$$text"; done

paper: params ## every table and figure of the paper; PROFILE=demo|demo-full|smoke|ptbxl|paper DATA=folder
	@$(RUN) python -m ecg_lib.cli.pipeline run
	@echo "tables: results/$(PROFILE)/   figures: figures/$(PROFILE)/   notebooks: executed/$(PROFILE)/"

params: .venv/.installed ## compose params.yaml from conf/ (PROFILE, DATA) without running anything
	@data="$(DATA)"; \
	if [ -n "$$data" ]; then \
	  data="$$(cd "$$data" 2>/dev/null && pwd)" || { echo 'error: DATA=$(DATA) is not a folder' >&2; exit 2; }; \
	  set -- "data.root='$$data'"; \
	fi; \
	$(BIN)/python -m ecg_lib.config "$(PROFILE)" "$$@"

test: .venv/.installed ## all tests
	@$(RUN) OMP_NUM_THREADS=1 python -m pytest -n 2 --dist loadgroup

lint: .venv/.installed ## ruff over library, tests and notebooks
	@$(BIN)/ruff check .

lab: .venv/.installed ## JupyterLab on the notebooks
	@$(RUN) jupyter lab notebooks

pipeline: .venv/.installed ## write dvc.yaml anew from the notebooks
	@$(BIN)/python -m ecg_lib.cli.pipeline

store: .venv/.installed ## run the notebooks in smoke and store the outputs that tests compare
	@$(BIN)/python -m ecg_lib.config smoke
	@$(RUN) python -m ecg_lib.cli.notebook --store

readme: .venv/.installed ## put the newest results into README.md
	@$(BIN)/python -m ecg_lib.report.readme arms demo ptbxl

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
