# SPDX-License-Identifier: Apache-2.0
# `make demo` and `make test` set everything up in .venv and then do their job; a second call reuses what is there.
# PYTHON=python3.12 picks the interpreter that .venv is made with (`make clean` first, to make it anew).

PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11 python3.10; do \
	$$python -c '$(PYTHON_FITS)' 2>/dev/null && { echo $$python; break; }; done)
PYTHON_FITS := import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))

VENV := .venv
RUN := $(VENV)/bin/python
CONFIG := configs/quick_schedules/shapes_tiny.yaml
WEIGHTS := configs/quick_schedules/shapes_tiny.pth
DEMO := output/demo
TRAIN_DEMO := output/train_demo
SITE := build/docs

# Seeds that training never saw are what makes validation and demo honest.
TRAIN_SEED := 1
VAL_SEED := 2
VIDEO_SEED := 15

.DELETE_ON_ERROR:
.PHONY: help demo test lint train-demo docs lock clean

help:
	@echo 'make demo        evaluate the trained toy model and segment a video, into $(DEMO)'
	@echo 'make test        check formatting, lint and imports, run the tests'
	@echo 'make lint        only the checks that need no run'
	@echo 'make train-demo  train the toy model on two CPU cores, into $(TRAIN_DEMO)'
	@echo 'make docs        build the documentation, into $(SITE)'
	@echo 'make lock        resolve requirements.lock again'
	@echo 'make clean       remove .venv and caches; outputs and data sets stay'

# Set-up, in the order of how often each step has to be done again.

$(VENV)/.made:
	@test -n '$(PYTHON)' || { echo 'IFC needs Python 3.10 to 3.13, and none is on the PATH.' \
		'Install one, or name it: make PYTHON=/path/to/python3.11' >&2; exit 1; }
	@'$(PYTHON)' -c 'pass' || { echo 'PYTHON=$(PYTHON) does not run.' >&2; exit 1; }
	@'$(PYTHON)' -c '$(PYTHON_FITS)' || { echo "IFC needs Python 3.10 to 3.13; PYTHON=$(PYTHON) is" \
		"$$('$(PYTHON)' -V)." >&2; exit 1; }
	'$(PYTHON)' -m venv $(VENV)
	@touch $@

# The PyPI build of torch runs with and without a GPU and brings CUDA's libraries: about 3 GB to download, once.
$(VENV)/.locked: requirements.lock $(VENV)/.made
	$(RUN) -m pip install --disable-pip-version-check --use-pep517 --require-hashes --requirement requirements.lock
	@# TrackEval, which the tests use, brings opencv-python: headless's files, built to need libGL and X11, which servers
	@# lack. Headless has to be the last to write them.
	sed -n '/^opencv-python-headless==/,/[^\\]$$/p' requirements.lock >$(VENV)/headless.txt
	$(RUN) -m pip install --disable-pip-version-check --quiet --force-reinstall --no-deps --require-hashes \
		--requirement $(VENV)/headless.txt
	@touch $@

$(VENV)/.detectron2: projects/IFC/ifc/cli/install_detectron2.py $(VENV)/.locked
	$(RUN) tools/install_detectron2.py
	@touch $@

$(VENV)/.installed: setup.py pyproject.toml $(VENV)/.detectron2
	$(RUN) -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation --editable .
	$(RUN) -m pip check
	@touch $@

test: lint
	$(RUN) -m pytest

lint: $(VENV)/.installed
	$(RUN) -m ruff format --check .
	$(RUN) -m ruff check .
	$(VENV)/bin/lint-imports --no-logo

demo: export DETECTRON2_DATASETS = $(DEMO)/datasets
demo: $(VENV)/.installed $(DEMO)/datasets/shapes/val.json $(DEMO)/shapes.mp4
	$(RUN) projects/IFC/train_net.py --eval-only --config-file $(CONFIG) \
		MODEL.WEIGHTS $(WEIGHTS) INPUT.SAMPLING_FRAME_NUM 5 OUTPUT_DIR $(DEMO)/evaluation
	$(RUN) projects/IFC/demo.py --config-file $(CONFIG) --input $(DEMO)/shapes.mp4 --output $(DEMO)/overlay \
		MODEL.WEIGHTS $(WEIGHTS) INPUT.SAMPLING_FRAME_NUM 5
	@echo 'The video $(DEMO)/shapes.mp4 with what was found in it: $(DEMO)/overlay/shapes.mp4 and results.json'

train-demo: export DETECTRON2_DATASETS = $(TRAIN_DEMO)/datasets
train-demo: $(VENV)/.installed $(TRAIN_DEMO)/datasets/shapes/train.json $(TRAIN_DEMO)/datasets/shapes/val.json
	$(RUN) projects/IFC/train_net.py --num-gpus 2 --dist-url auto --config-file $(CONFIG) OUTPUT_DIR $(TRAIN_DEMO)
	$(RUN) projects/IFC/train_net.py --num-gpus 2 --dist-url auto --config-file $(CONFIG:.yaml=_finetune.yaml) \
		MODEL.WEIGHTS $(TRAIN_DEMO)/model_final.pth OUTPUT_DIR $(TRAIN_DEMO)/finetune
	$(RUN) tools/strip_checkpoint.py $(TRAIN_DEMO)/finetune/model_final.pth $(TRAIN_DEMO)/shapes_tiny.pth --half
	$(RUN) projects/IFC/train_net.py --eval-only --config-file $(CONFIG) \
		MODEL.WEIGHTS $(TRAIN_DEMO)/shapes_tiny.pth INPUT.SAMPLING_FRAME_NUM 5 OUTPUT_DIR $(TRAIN_DEMO)/evaluation

%/shapes/train.json: | $(VENV)/.installed
	$(RUN) tools/make_shapes.py --output $(@D) --split train --videos 2500 --length 8 --seed $(TRAIN_SEED) \
		--workers 2 --overwrite

%/shapes/val.json: | $(VENV)/.installed
	$(RUN) tools/make_shapes.py --output $(@D) --split val --videos 30 --seed $(VAL_SEED) --instances 1 3 \
		--workers 2 --overwrite

%/shapes.mp4: | $(VENV)/.installed
	$(RUN) tools/make_shapes.py --video $@ --length 60 --seed $(VIDEO_SEED) --instances 3 3

docs: $(VENV)/.installed
	$(RUN) -m sphinx --fail-on-warning --keep-going --quiet docs $(SITE)
	@echo 'The documentation: $(SITE)/index.html'

lock: $(VENV)/.installed
	$(RUN) tools/make_lock.py

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find projects tests tools -name __pycache__ -type d -prune -exec rm -rf {} +
