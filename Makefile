# Two commands for a newcomer: `make lab` and `make test`. `make help` lists the rest.
PY := .venv/bin/python
WORKERS ?= 2
LAB_ARGS ?=
DATA ?= ../shared/data
BENCHES ?= capture_files capture_ring capture_flood capture_conntrack memory startup \
	firewall_load firewall_deny firewall_forward history_ingest history_query logs detect incidents intake

.PHONY: help lab test check format bench soak lock clean setup

help: ## this list
	@awk -F':.*## ' '/^[a-z]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

lab: ## a BPO site in namespaces, a working day in fast motion (LAB=once: no UI, summary; LAB=cases: the desk's day)
	@tools/setup lab
	@LAB="$(LAB)" $(PY) -m ipwatchd.cli.ipwatchd lab $(addprefix --,$(filter once cases,$(LAB))) $(LAB_ARGS)

test: ## every test
	@tools/setup dev
	@tools/test -n $(WORKERS)

check: ## linter, types, walls
	@tools/setup dev
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports

format: ## mend what the linter can mend
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

bench: ## benchmarks beside real peers (needs softflowd nfdump ipset conntrack; labelled captures: DATA=FOLDER)
	@tools/setup dev
	@for name in $(BENCHES); do echo "== $$name"; \
		$(PY) benchmarks/$$name.py $$(test $$name != detect || echo $(DATA)) || exit 1; done

soak: ## the long tests
	@tools/setup dev
	@tools/spark >/dev/null
	@tools/test -m soak --timeout 3600

lock: ## lock the newest allowed dependencies again
	tools/lock

setup: ## only set up
	@tools/setup dev

clean: ## remove what was set up
	rm -rf .venv .venv-spark .pytest_cache .mypy_cache .ruff_cache .hypothesis
