# make book    build the book; PROFILE=smoke|cpu|gpu (default cpu), JOBS=n stages at a time (default: as many as cores)
# make pdf     the book in one PDF, build/defect-spectrum-book.pdf; needs Chromium
# make archive the book in one .tar.gz, with its SHA-256 beside it
# make test    every test, the notebooks among them
# make bench   speed as ratios into build/bench.json, some ten minutes; ONLY="sampling training" for a part,
#              RECORD=1 writes benchmarks/RESULTS.md
# make faults  kills, damaged files, full disks, races: whether results stay right, some 20 minutes; RECORD=1 as above
# make lint    style and format
# make clean   remove all that was built, trained networks included
#
# Each target makes the environment first (.venv, from requirements.lock). Needs Python 3.11 or later and nothing else.

PYTHON ?= python3
PROFILE ?= cpu
JOBS ?=

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed
PACKAGES := $(shell grep -c '==' requirements.lock)

.PHONY: book pdf archive test bench faults lint clean venv
.DEFAULT_GOAL := book

book: $(INSTALLED)
	@$(BIN)/python -m defectlib book --profile '$(PROFILE)' $(if $(JOBS),--jobs '$(JOBS)')

pdf archive: book
	@$(BIN)/python -m defectlib $@

# One thread for each worker: two workers with a thread for every core would fight over them. What datasets lie on
# this machine must not change what the notebooks print.
test: $(INSTALLED)
	@OMP_NUM_THREADS=1 DEFECTLIB_QUIET=1 DEFECTLIB_JOBS=1 DEFECTLIB_DATA=/dev/null $(BIN)/python -m pytest -n 2 --dist loadfile \
	    --nbval --nbval-sanitize-with tests/nbval_sanitize.cfg tests notebooks

bench: $(INSTALLED)
	@OMP_NUM_THREADS=1 DEFECTLIB_QUIET=1 $(BIN)/python -m benchmarks $(ONLY) $(if $(RECORD),--record)

faults: $(INSTALLED)
	@OMP_NUM_THREADS=1 DEFECTLIB_QUIET=1 $(BIN)/python -m benchmarks.faults $(if $(RECORD),--record)

lint: $(INSTALLED)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

clean:
	rm -rf build

venv: $(INSTALLED)

# pip names every package that it collects; one line in twenty is progress enough.
$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	    || { echo "Python 3.11 or later is needed, and '$(PYTHON)' is not; try: make PYTHON=python3.12" >&2; exit 2; }
	@echo "Installing $(PACKAGES) packages into $(VENV), some minutes the first time"
	@$(PYTHON) -m venv $(VENV)
	@rm -f $@
	@{ $(BIN)/python -m pip install --disable-pip-version-check --progress-bar off -r requirements.lock \
	    && $(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --editable . \
	    && touch $@; } \
	    | awk '/^Collecting/ && ++n % 20 == 0 { print "  " n " of $(PACKAGES): " $$2; fflush() } \
	           /^Installing/ { print "  unpacking"; fflush() }'
	@test -f $@ || { echo "the installation failed; what is missing stands above" >&2; exit 2; }
