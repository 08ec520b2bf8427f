# `make demo` and `make test` need Python 3.11 or newer, make and git; everything else they install into .venv.
#
#   make demo                              synthesise a clip, track it, show what happened
#   make demo VIDEO=dog.mp4 POINT="310 220"  track what lies at pixel (310, 220) of your video's first frame
#   make demo-app                          start the demo in the browser
#   make test                              lint and test
#   make test-browser                      test the demo in a headless Chromium (apt-get install chromium)
#   make screenshots                       show the demo's page in all sizes and colours, in screenshots/
#   make lint                              lint alone

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt

.PHONY: demo demo-app test test-browser screenshots lint

demo: $(VENV)/.demo
	$(BIN)/semtrack demo --output demo_output $(if $(VIDEO),--video "$(VIDEO)") $(if $(POINT),--point $(POINT))

demo-app: $(VENV)/.demo-app
	HF_HUB_OFFLINE=1 $(BIN)/python app.py

test: lint
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest

test-browser: $(VENV)/.browser
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -m browser tests/test_app_browser.py

screenshots: $(VENV)/.browser
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -m browser tests/test_app_screenshots.py --screenshots screenshots

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# A stamp file says that its installation is done for the present pyproject.toml and constraints.txt.
$(VENV)/.demo: EXTRAS := data
$(VENV)/.demo-app: EXTRAS := demo
$(VENV)/.test: EXTRAS := data,train,eval,demo,dev
$(VENV)/.browser: EXTRAS := demo,dev,browser
$(VENV)/.demo $(VENV)/.demo-app $(VENV)/.test $(VENV)/.browser: pyproject.toml $(VENV)/.torch
	$(PIP_INSTALL) -e ".[$(EXTRAS)]"
	touch $@

$(VENV)/.torch: constraints.txt
	$(PYTHON) -c "import sys; v = sys.version.split()[0]; sys.version_info >= (3, 11) or sys.exit(f'SemTrack needs Python 3.11 or newer, found {v}: name one with make PYTHON=...')"
	$(PYTHON) -m venv $(VENV)
	$(PIP_INSTALL) torch
	touch $@
