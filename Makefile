# Two commands matter: `make lab` to learn and `make test` to check. Each first sets up all that it needs.

.DEFAULT_GOAL := help
.PHONY: help lab test thorough fast lint format lessons lesson screenshot bench classroom binder clean

help: ## say what there is
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

lab: ## set up, and open the course in JupyterLab (about 4 minutes the first time, then seconds)
	@sh .ci/setup lab
	@sh .ci/lab

checks = .venv/bin/ruff check && .venv/bin/ruff format --check && .venv/bin/mypy

# Many small machines on few processors run into each other's limits of time, and engines have races of their own: what
# fails is tried once more, and what then passes is named in a table at the end, as a fault to be mended. What hung is not
# tried again: the limit of time counts for both tries together. The longest tests begin first.
pytest = .venv/bin/pytest -rsfE --tb=short --durations=15 --durations-min=5 --reruns 1 --rerun-except 'from pytest-timeout' -n $(or $(WORKERS),auto) \
	--no-loadscope-reorder
everything = tests/notebooks tests/browser tests/engine tests/fast

test: export DOCKERNB_TEST_BEGAN := $(shell date +%s)
test: ## set up, and run every check (LESSONS="02-bridge ...": only what belongs to these lessons)
	@sh .ci/setup test
	$(checks)
	$(pytest) --session-timeout=4800 --lessons "$(LESSONS)" $(everything)

thorough: ## what takes hours, kept in build/thorough and resumed there (PART=lessons: one part; all, and `make test`, without)
	@sh .ci/setup test
	$(if $(PART),,@$(MAKE) test)
	$(pytest) --thorough $(or $(PART),all) $(everything)

fast: ## style, types, and the tests that need no engine
	@sh .ci/setup tools
	$(checks)
	.venv/bin/pytest -q -n auto tests/fast

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

lesson: ## begin a new lesson: make lesson NAME=18-my-subject
	@sh .ci/setup tools
	@.venv/bin/python .ci/new-lesson $(NAME)

screenshot: ## take the picture in the README anew, from lesson 06 on a real lab host
	@sh .ci/setup test
	.venv/bin/pytest -q tests/browser/screenshot.py

bench: ## how long a lab host takes on this machine, and how far its measurements are to be trusted
	@sh .ci/setup test
	.venv/bin/python -m tests.benchmarks.host
	.venv/bin/python -m tests.benchmarks.measure
	.venv/bin/python -m tests.benchmarks.memory

classroom: ## JupyterHub with three learners and one template on this machine, as notebooks/CLASSROOM.md says (root, npm)
	@sh .ci/setup test
	@sh .ci/classroom
	.venv/bin/pytest -v -s tests/classroom

binder: ## build what repo2docker generates, and learn in it within Binder's limits (root; about 10 minutes)
	@sh .ci/setup test
	.venv/bin/python -m tests.binder.prove

clean: ## stop the lab hosts, and remove all that make has made, the template too
	[ ! -x .venv/bin/dockernb ] || .venv/bin/dockernb clean
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache
