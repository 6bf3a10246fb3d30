# make run    the demo: two sample upstreams behind the proxy on http://127.0.0.1:8080/
# make test   everything that is checked, the way continuous integration does it
#
# Both make .venv when it is missing; PYTHON=... names the interpreter for it.

SHELL := bash
.DEFAULT_GOAL := help
.PHONY: help run test clean
export PYTHON

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

run:
	@.ci/venv
	@exec .venv/bin/twist revproxy --demo

test:
	@.ci/venv test
	@.ci/services
	@.venv/bin/python tests/run.py

# Caches and builds; .venv stays.
clean:
	@rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis _trial_temp*
	@find . -path ./.venv -prune -o \( -name __pycache__ -o -name dropin.cache \) -exec rm -rf {} +
