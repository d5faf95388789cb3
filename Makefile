# Two commands matter: `make lab` to learn and `make test` to check. Each first sets up all that it needs.

.DEFAULT_GOAL := help
.PHONY: help lab test fast lint format lessons bench clean

help: ## say what there is
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-7s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

lab: ## set up, and open the course in JupyterLab (about 4 minutes the first time, then seconds)
	@sh .ci/setup lab
	@sh .ci/lab

checks = .venv/bin/ruff check && .venv/bin/ruff format --check && .venv/bin/mypy

test: ## set up, and run every check: style, types, fast tests, engine tests, the lessons, the browser
	@sh .ci/setup test
	$(checks)
	.venv/bin/pytest -rs tests/fast tests/engine tests/notebooks tests/browser

fast: ## style, types, and the tests that need no engine
	@sh .ci/setup tools
	$(checks)
	.venv/bin/pytest -q tests/fast

lint: ## style and types
	@sh .ci/setup tools
	$(checks)

format: ## lay the code out, and mend what ruff can mend
	@sh .ci/setup tools
	.venv/bin/ruff check --fix
	.venv/bin/ruff format

lessons: ## run the lessons (LESSONS="02-bridge ...", or all) and keep their outputs in the notebooks
	@sh .ci/setup test
	.venv/bin/python .ci/lessons $(LESSONS)

bench: ## how long a lab host takes to start, reset, run and probe on this machine
	@sh .ci/setup test
	.venv/bin/python -m tests.benchmarks.host

clean: ## stop the lab hosts, and remove all that make has made, the template too
	[ ! -x .venv/bin/dockernb ] || .venv/bin/dockernb clean
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache
