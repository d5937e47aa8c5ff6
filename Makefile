# Two commands do everything: `make serve` and `make test`. `make help` lists the rest.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SHELL := /bin/sh

.DEFAULT_GOAL := help
.PHONY: help setup serve test check lock clean

help: ## List what can be made
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 22

setup: $(VENV)/.models ## Environment and models; does nothing the second time

serve: setup ## Start the service on http://127.0.0.1:8000: make serve [PORT=8001] [OPEN=1]
	@exec $(BIN)/tryon-images serve $(if $(PORT),--port $(PORT)) $(if $(OPEN),--open)

test: setup $(VENV)/.dev ## Lint, format, types, import rules and all tests
	@$(BIN)/python -m tests.check

lock: $(VENV)/.dev ## Pin the newest versions that fit pyproject.toml, with hashes
	$(BIN)/uv pip compile pyproject.toml --group build --universal --python-version 3.11 --upgrade \
		--generate-hashes --no-emit-index-url --no-header --quiet -o requirements.lock
	$(BIN)/uv pip compile pyproject.toml --group build --group dev --universal --python-version 3.11 --constraint requirements.lock \
		--generate-hashes --no-emit-index-url --no-header --quiet -o requirements-dev.lock

.PHONY: compatibility
compatibility: setup $(VENV)/.dev ## Replay the requests of every client family and print the table
	@$(BIN)/python -m tests.compatibility

clean: ## Forget the environment and all caches; data/ stays
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@echo 'The environment and all caches are gone. Photos and keys are still in data/, models in ~/.cache/tryon-images.'

# Marked when it is whole: one that was interrupted is made again from nothing.
$(VENV)/.made:
	@test -w . || { echo 'This folder is read-only for you: clone it to where .venv and data may be written.'; exit 1; }
	@found=$$($(PYTHON) -c 'import sys; print("Python %d.%d" % sys.version_info[:2]); sys.exit(sys.version_info < (3, 11))' 2>/dev/null); \
		case $$?:$$found in \
			0:Python*) ;; \
			1:Python*) echo "$(PYTHON) is $$found, and 3.11 or newer is needed: make PYTHON=python3.11 ..."; exit 1;; \
			12[67]:*) echo 'There is no program "$(PYTHON)". Name a Python of 3.11 or newer: make PYTHON=python3.11 ...'; exit 1;; \
			*) echo '"$(PYTHON)" is no Python. Name one of 3.11 or newer: make PYTHON=python3.11 ...'; exit 1;; \
		esac
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
		|| { echo '$(PYTHON) has no venv module. On Debian and Ubuntu: sudo apt-get install -y python3-venv'; exit 1; }
	@test -e $(VENV)/.runtime || rm -rf $(VENV)
	@test -e $(VENV)/.runtime || $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }
	@touch $@

$(VENV)/.runtime: requirements.lock pyproject.toml | $(VENV)/.made
	@test -e $@ || echo 'First start: installing about 800 MB of packages, which takes 1 to 4 minutes ...'
	@$(BIN)/python deploy/install.py requirements.lock
	@$(BIN)/python deploy/install.py --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.runtime
	@echo 'Installing what the tests need ...'
	@$(BIN)/python deploy/install.py requirements-dev.lock
	@touch $@

$(VENV)/.models: adapters/vision/models.py $(VENV)/.runtime
	@for pause in 5 20 ''; do \
		$(BIN)/tryon-images models install && break; \
		test "$$pause" || exit 1; \
		echo "Once more in $$pause s ..."; sleep $$pause; \
	done
	@touch $@

.PHONY: bench bench-scale bench-fair rolling-upgrade profile fuzz evaluate pictures

bench: setup $(VENV)/.dev ## The whole server beside Fastify + sharp and libvips, into docs/benchmarks.md: make bench [BEFORE=checkout]
	@$(BIN)/python -m tests.benchmarks.uploads --write $(if $(BEFORE),--before $(BEFORE))

bench-scale: setup $(VENV)/.dev ## PostgreSQL as tables grow, one replica against two
	@$(BIN)/python -m tests.benchmarks.database
	@$(BIN)/python -m tests.benchmarks.replicas
	@$(BIN)/python -m tests.benchmarks.replicas --pinned

bench-fair: setup $(VENV)/.dev ## Bad clients beside good ones: who waits for whom: make bench-fair [QUICK=1] [ONLY=phones]
	@$(BIN)/python -m tests.benchmarks.fair --write $(if $(QUICK),--quick) $(if $(ONLY),--only $(ONLY))

rolling-upgrade: setup $(VENV)/.dev ## The version before and this one side by side under load, without a failed request: make rolling-upgrade [FROM=commit]
	@$(BIN)/python -m tests.benchmarks.rolling_upgrade $(FROM)

profile: setup $(VENV)/.dev ## The stages of one photo
	@$(BIN)/python -m tests.benchmarks.profile_photo

fuzz: setup $(VENV)/.dev ## A minute of mutated photos in all four formats
	@$(BIN)/python -m tests.fuzz_photos --seconds 60

evaluate: setup $(VENV)/.dev ## Score the framing on annotated photos: make evaluate PHOTOS=folder [JSON=file]
	@$(BIN)/python -m tests.framing_evaluation $(if $(PHOTOS),--photos $(PHOTOS)) $(if $(JSON),--json $(JSON))

pictures: setup $(VENV)/.dev ## Make the README's pictures again
	@$(BIN)/python -m tests.readme_pictures

.PHONY: sbom licenses audit

sbom: setup $(VENV)/.dev ## What the service is made of, as CycloneDX: dist/sbom.json
	@mkdir -p dist
	@$(BIN)/cyclonedx-py requirements requirements.lock --pyproject pyproject.toml --output-reproducible --of JSON -o dist/sbom.json
	@echo 'dist/sbom.json'

licenses: setup $(VENV)/.dev ## Licenses of all that is installed
	@$(BIN)/pip-licenses --python $(BIN)/python --order license

audit: setup $(VENV)/.dev ## Known vulnerabilities of all that is locked: make audit [OSV_URL=https://…]
	@$(BIN)/python -m tests.audit $(if $(OSV_URL),--osv-url $(OSV_URL))

.PHONY: mutants

mutants: setup $(VENV)/.dev ## Break domain and use cases in small ways, each has to fail a test: make mutants [ONLY="erase delete"]
	@PYTHONHASHSEED=0 $(BIN)/python -m tests.mutants $(ONLY)

.PHONY: zoo

zoo: setup $(VENV)/.dev ## Real clients against a real server, directly and behind nginx: who hears which refusal
	@$(BIN)/python -m tests.zoo.zoo
	@$(BIN)/python -m tests.check --override-ini=addopts= -q -n2 tests/zoo
