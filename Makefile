# Every target is a few visible commands. `make help` lists them; `make book` and `make test` do their own set-up.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
PROFILE ?= book
NOTEBOOKS = $(patsubst book/%.md,notebooks/%.ipynb,$(shell grep -l "^kernelspec:" book/*.md))
NOTEBOOK = $(wildcard notebooks/$(CH).ipynb notebooks/$(CH)_*.ipynb)

# The kernel `python3` is that of .venv, whatever kernels the machine or the account offers under the same name.
export JUPYTER_PATH =
export JUPYTER_PREFER_ENV_PATH = 1

# PYTHON and TORCH choose what .venv holds. Not given, they stay what they are; another PYTHON makes .venv again.
$(if $(filter-out cpu default,$(TORCH)),$(error TORCH is cpu (PyTorch's CPU build) or default; got $(TORCH)))
GIVEN := $(if $(TORCH),torch=$(TORCH))
ifneq ($(origin PYTHON),file)
override PYTHON := $(patsubst ~/%,$(HOME)/%,$(PYTHON))
GIVEN += python=$(shell "$(PYTHON)" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
endif
MADE := $(shell cat .venv/.installed 2>/dev/null)
CHANGED := $(filter-out $(MADE),$(GIVEN))
AGAIN := $(or $(filter python=%,$(CHANGED)),$(shell $(BIN)/python -c pass 2>/dev/null || echo new))

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1|\2/' | column -t -s '|'

setup: .venv/.installed ## create .venv and install the pinned packages (done by the other targets when needed)

define make_venv
@command -v git >/dev/null || { echo "git is missing: apt install git"; exit 1; }
@command -v "$(PYTHON)" >/dev/null || { echo "$(PYTHON) is missing: apt install python3 python3-venv, or make PYTHON=/path/to/python3.11"; exit 1; }
@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11, 5))' || { echo "Python 3.11.5 or newer is needed; $(PYTHON) is $$("$(PYTHON)" -V 2>&1). Say which: make PYTHON=/path/to/python3.11"; exit 1; }
@"$(PYTHON)" -c 'import venv, ensurepip' 2>/dev/null || { echo "Python's venv module is missing: apt install python3-venv"; exit 1; }
@test ! -d .venv || echo "== Making .venv again: it has $(or $(MADE),no finished installation); asked for: $(or $(filter python=%,$(GIVEN)),a Python that starts)"
rm -rf .venv
"$(PYTHON)" -m venv .venv
endef

.venv/.installed: requirements.txt pyproject.toml $(if $(CHANGED)$(AGAIN),again)
	$(if $(AGAIN),$(make_venv))
	$(BIN)/python tools/install.py $(TORCH)

book: setup ## execute every chapter and render the book to _build/html/index.html
	@echo "== Executing the chapters and rendering the book"
	$(BIN)/python tools/execute.py
	rm -rf _build/.doctrees # or pages whose text is the same would keep what they printed before
	$(BIN)/jupyter-book build . -n -W --keep-going
	@echo "== The book lies at $(CURDIR)/_build/html/index.html"

test: setup ## all tests: the library, the records, and the stored outputs of the notebooks
	@echo "== Testing the library, the records and the notebooks"
	@$(BIN)/python -c "from facelight.enhance import prepare_histograms; prepare_histograms()" # or a notebook would say so
	$(BIN)/pytest tests lib notebooks --nbval-lax --nbval-current-env --numprocesses 2 --dist loadfile

test-browser: setup ## open every page of the rendered book in Chromium; pictures of them in _build/screenshots
	@test -d _build/html || { echo "there is no rendered book yet: make book"; exit 1; }
	@echo "== Opening every page of the book in a browser"
	$(BIN)/pytest tests/browser -m browser --numprocesses 2 --dist worksteal

bench: setup ## run all benchmarks on a quiet machine, and keep their records for this kind of processor
	@echo "== Timing; nothing else should compute meanwhile"
	$(BIN)/python benchmarks/clahe_speed.py --save
	$(BIN)/python benchmarks/landmark_speed.py --rounds 8 --save
	$(BIN)/python benchmarks/landmark_speed.py --rounds 6 --bf16 --save
	$(BIN)/python benchmarks/recognition_speed.py --bodies resnet18_c4 resnet50 --save
	$(BIN)/python benchmarks/render_speed.py --save
	@echo "== The records lie in book/results/speed"

check: setup ## style, types, spelling, and that notebooks/ is what book/ generates
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/codespell
	$(BIN)/python tools/notebooks.py check

notebooks: setup ## generate and execute the notebooks whose chapter has changed
	$(BIN)/python tools/notebooks.py generate

accept: setup ## execute all notebooks again after an intended change; the diff shows which numbers moved
	$(BIN)/python tools/notebooks.py generate --all

request:
	@test -n "$(CH)" || { echo "say which chapter: make run CH=03 PROFILE=laptop"; exit 1; }
	@test -n "$(NOTEBOOK)" || { echo "there is no notebook notebooks/$(CH)_*.ipynb; the chapters are: $(NOTEBOOKS)"; exit 1; }
	@case "$(PROFILE)" in book|laptop|full) ;; *) echo "PROFILE is book, laptop or full; got $(PROFILE)"; exit 1;; esac

run: request setup ## run a chapter, all its pages, with a profile: make run CH=03 PROFILE=laptop (book, laptop, full)
	@mkdir -p _build/runs
	$(foreach NB,$(NOTEBOOK),$(BIN)/papermill $(NB) _build/runs/$(basename $(notdir $(NB)))-$(PROFILE).ipynb --cwd notebooks --log-output -p PROFILE $(PROFILE) &&) true

print: book ## the whole book on one page, to print or to save as PDF: _build/singlehtml/index.html
	@echo "== Putting the whole book on one page"
	$(BIN)/jupyter-book build . --builder singlehtml -n -W --keep-going
	@echo "== The page lies at $(CURDIR)/_build/singlehtml/index.html: a browser prints it, or saves it as PDF"

serve: ## show the rendered book at http://127.0.0.1:8000
	@test -d _build/html || { echo "there is no rendered book yet: make book"; exit 1; }
	"$(PYTHON)" -m http.server --bind 127.0.0.1 --directory _build/html 8000

linkcheck: setup ## follow every link of the book
	$(BIN)/jupyter-book build . --builder linkcheck

lock: setup ## write what is installed now into requirements.txt
	$(BIN)/python tools/lock.py > requirements.new && mv requirements.new requirements.txt || { rm -f requirements.new; exit 1; }

release: setup ## change the version everywhere, in one commit: make release VERSION=1.2.0 (after it VERSION=1.3.0.dev0)
	$(BIN)/python tools/release.py "$(VERSION)"

clean: ## remove what was built (not .venv)
	rm -rf _build build .mypy_cache .ruff_cache .hypothesis

.PHONY: again bench help request setup book test test-browser check notebooks accept run print serve linkcheck lock release clean
