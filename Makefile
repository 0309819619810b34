# Everything runs in .venv, which the first target that needs it makes. `make help` lists the targets.

VENV        ?= .venv
# The interpreter that .venv is made from; without it, the first suitable one on the PATH.
PYTHON      ?=
# More extras of pyproject.toml, comma-separated: EXTRAS=torch,export
EXTRAS      ?=

# make train: what to train on, a network other than the one that fits, more for papermill:
# ARGS="-p epochs 5"
DATASET     ?= digits
PRESET      ?=
ARGS        ?=

# make outputs: which notebook, without folder and ending.
NOTEBOOK    ?=

# make web, make demo: another network than the one that ships, a model.keras or a run folder.
MODEL       ?=
# make space: where to put it.
SPACE       ?= build/space

# make reference: a Python 3.11, which the published example's packages need.
REFERENCE_PYTHON ?= python3.11

# make matrix: which rows; none means all.
ROWS        ?=

# make animations: l (480p), m (720p), h (1080p) or k (2160p), and which scenes; none means all.
QUALITY     ?= l
SCENES      ?=

# make test: which lanes (lint tensorflow jax torch notebooks; none means all), what pytest gets.
LANES       ?=
PYTEST_ARGS ?= -n 2 --dist worksteal

KERAS_BACKEND        ?= tensorflow
TF_CPP_MIN_LOG_LEVEL ?= 3
export KERAS_BACKEND TF_CPP_MIN_LOG_LEVEL PYTEST_ARGS
export PIP_DISABLE_PIP_VERSION_CHECK = 1

PY           := $(VENV)/bin/python
NOTEBOOK_RUN := runs/05_train.$(subst /,-,$(DATASET)).ipynb

# One stamp file per set of extras, so that a set is installed again only when its pins change.
comma      := ,
MORE       := $(if $(EXTRAS),$(comma)$(EXTRAS))
USE_STAMP  := $(VENV)/.has-tensorflow,notebooks$(MORE)
TEST_STAMP := $(VENV)/.has-tensorflow,jax,notebooks,test$(MORE)
REFERENCE_PY    := .venv-reference/bin/python
REFERENCE_STAMP := .venv-reference/.installed
DRAW_STAMP := $(VENV)/.has-tensorflow,notebooks,animations$(MORE)
DEMO_STAMP := $(VENV)/.has-tensorflow,demo$(MORE)
WEB_STAMP  := $(VENV)/.has-tensorflow,export$(MORE)
NPM_STAMP  := build/npm/.installed

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help venv train notebooks outputs links animations web demo space colab matrix reference test lint format clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

venv: $(USE_STAMP) ## Make .venv and install the library, TensorFlow and JupyterLab into it

train: $(USE_STAMP) ## Train on the bundled digits (DATASET=cifar10 ARGS="-p epochs 5")
	@mkdir -p runs
	@echo "Training on $(DATASET) ..."
	@$(PY) -m papermill --no-progress-bar --log-output --kernel python3 \
		-r dataset "$(DATASET)" $(if $(PRESET),-p preset "$(PRESET)") $(ARGS) notebooks/05_train.ipynb "$(NOTEBOOK_RUN)"
	@echo
	@$(PY) -m shiftvit_utils.show_run "$(NOTEBOOK_RUN)"
	@echo "executed notebook: $(NOTEBOOK_RUN)"
	@echo "next, CIFAR-10:    make train DATASET=cifar10"

notebooks: $(USE_STAMP) ## Open the notebooks in JupyterLab
	@$(PY) -m jupyterlab --LabApp.default_url=/lab/tree/notebooks

outputs: $(USE_STAMP) ## Run a notebook and its solutions and store their outputs (NOTEBOOK=03_shift)
	@test -f "notebooks/$(NOTEBOOK).ipynb" || { \
		echo "Name a notebook, as in: make outputs NOTEBOOK=03_shift" >&2; exit 2; }
	@$(PY) tests/refresh_notebook.py \
		$(wildcard notebooks/$(NOTEBOOK).ipynb notebooks/solutions/$(NOTEBOOK).ipynb)

links: | $(VENV)/bin/pip ## Stamp badges for Colab, Kaggle and Binder (REPO=owner/name; REPO= for none)
	@test "$(origin REPO)" != undefined || { \
		echo "Name the repository: make links REPO=owner/name (REPO= takes the links out)" >&2; exit 2; }
	@$(PY) tests/notebook_links.py '$(REPO)'

animations: $(DRAW_STAMP) ## Render the scenes, refresh their GIFs (QUALITY=h SCENES=Pyramid)
	@$(PY) animations/render.py $(SCENES) --quality $(QUALITY) --gifs

web: $(WEB_STAMP) $(NPM_STAMP) ## Build the browser page in build/web (MODEL=path of a run)
	@$(PY) web/build.py $(if $(MODEL),--model "$(MODEL)")

demo: $(DEMO_STAMP) ## Start the demo, a page for pictures of your own (MODEL=runs/cifar10-nano)
	@$(PY) -m shiftvit_utils.demo $(if $(MODEL),--model "$(MODEL)")

space: ## Put a Hugging Face Space together, ready to be uploaded (SPACE=build/space)
	@test ! -e "$(SPACE)/pyproject.toml" || { \
		echo "$(SPACE) holds a project of its own. Name another folder: make space SPACE=build/space" >&2; exit 2; }
	@mkdir -p "$(SPACE)" && rm -rf "$(SPACE)/shiftvit_utils"
	@cp -R demo/space/. LICENSE shiftvit_utils "$(SPACE)"
	@find "$(SPACE)" -name __pycache__ -type d -prune -exec rm -rf {} +
	@echo "A Space in $(SPACE). To upload it: hf upload --repo-type space user/name $(SPACE)"

colab: $(TEST_STAMP) ## Run notebooks on Colab's versions, from a wheel and from a clone
	@$(PY) tests/try_colab.py

matrix: $(TEST_STAMP) ## Test on Python 3.11 to 3.13, newest and oldest versions (ROWS="py312 floor")
	@$(PY) tests/run_matrix.py $(ROWS)

reference: $(TEST_STAMP) $(REFERENCE_STAMP) ## Compare with real TensorFlow Addons and Keras 2
	@mkdir -p build
	@TF_USE_LEGACY_KERAS=0 $(REFERENCE_PY) -W ignore tests/reference/record.py build/keras_2022.npz
	@$(PY) tests/reference/compare.py build/keras_2022.npz

test: $(TEST_STAMP) ## Lint, every test on each backend (EXTRAS=torch adds PyTorch), every notebook
	@$(PY) tests/run_lanes.py $(LANES)

lint: $(TEST_STAMP) ## Only ruff, mypy, and what the notebooks say and hold
	@$(PY) tests/run_lanes.py lint

format: $(TEST_STAMP) ## Let ruff format the code and mend what it can
	@$(PY) -m ruff format
	@$(PY) -m ruff check --fix

clean: ## Remove .venv and every cache; keep runs/
	rm -rf $(VENV) .venv-* build dist *.egg-info .pytest_cache .hypothesis .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.has-%: pyproject.toml constraints.txt | $(VENV)/bin/pip
	@echo "Installing $* into $(VENV) (several minutes the first time) ..."
	@$(PY) -m pip install --quiet -c constraints.txt -e ".[$*]"
	@touch "$@"

# What the browser page computes with. No lock file: it would name the registry it came from.
$(NPM_STAMP): web/package.json
	@command -v npm >/dev/null || { \
		echo "npm is missing, which brings onnxruntime-web. Install Node.js with npm." >&2; exit 1; }
	@echo "Installing onnxruntime-web into build/npm ..."
	@mkdir -p build/npm && cp $< build/npm/
	@cd build/npm && npm install --no-package-lock --ignore-scripts --no-audit --no-fund --silent
	@touch "$@"

# The published example's stack, apart from all else: nothing imports it.
$(REFERENCE_STAMP): tests/reference/requirements.txt
	@"$(REFERENCE_PYTHON)" -c 'import ensurepip, sys; sys.exit(sys.version_info[:2] != (3, 11))' || { \
		echo "$(REFERENCE_PYTHON) is no Python 3.11 that can make virtual environments." >&2; \
		echo "TensorFlow 2.15 needs one. Install it, or name it:" >&2; \
		echo "  make reference REFERENCE_PYTHON=/path/to/python3.11" >&2; exit 1; }
	@echo "Installing the published example's stack into .venv-reference ..."
	@rm -rf .venv-reference && "$(REFERENCE_PYTHON)" -m venv .venv-reference
	@$(REFERENCE_PY) -m pip install --quiet -r $< || { \
		echo "TensorFlow Addons 0.23 has builds for Linux on x86-64 and for Macs; elsewhere it cannot run." >&2; \
		echo "With conda: conda env create -f environment-reference.yml" >&2; exit 1; }
	@touch "$@"

# A candidate counts only if it runs, is a version that the library supports, and can make a venv.
$(VENV)/bin/pip:
	@for python in $(or $(PYTHON),python3 python3.13 python3.12 python3.11); do \
		if "$$python" -c 'import ensurepip, sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
			2>/dev/null; then \
			echo "Making $(VENV) with $$("$$python" --version)"; \
			exec "$$python" -m venv $(VENV); \
		fi; \
	done; \
	echo "Found no Python 3.11, 3.12 or 3.13 that can make virtual environments; tried" >&2; \
	echo "  $(or $(PYTHON),python3 python3.13 python3.12 python3.11)" >&2; \
	echo "Install one (Debian and Ubuntu: also its python3-venv package), or name it:" >&2; \
	echo "  make $(MAKECMDGOALS) PYTHON=/path/to/python3" >&2; \
	exit 1
