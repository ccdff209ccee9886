# `make help` lists what can be made.
.DEFAULT_GOAL := help
.PHONY: help install test quick lint format clean

help:  ## Show this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

install:  ## Install cnnexp in this environment, with what the tests need
	python -m pip install -e ".[test]"

test:  ## Run all tests
	python -m pytest -n 2 --dist loadfile

quick:  ## Run the tests that take no more than a few seconds each
	python -m pytest -n 2 --dist loadfile -m "not slow"

lint:  ## Check style and types
	ruff check .
	ruff format --check .
	mypy

format:  ## Put the code into the house's style
	ruff check --fix .
	ruff format .

clean:  ## Remove caches, not outputs/ nor data/
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
