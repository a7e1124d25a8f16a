# Thin names over scripts/; each script says what it does with --help.
.PHONY: help demo test check bench bench-rest soak lab clean-lab install venv fuzz fuzz-rest load bench-config

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 20

demo: venv ## the quick start of a Xen book, on real Xen in QEMU, then a shell in that dom0
	scripts/demo

test: venv ## every test: unit, contract, faces, and the lab (real Xen in QEMU)
	scripts/test

check: venv ## formatting, lint, types, layers
	scripts/check

bench-rest: venv ## lists over REST on the simulator, beside a bare FastAPI
	.venv/bin/python -m tests.bench.bench_rest

fuzz-rest: venv ## schemathesis over the whole REST interface: at least 10,000 requests
	.venv/bin/python -m tests.fuzz.rest_schema --seconds 1200 --requests 10000

load: venv ## 200 REST clients at once for a minute, on 500 simulated domains
	.venv/bin/python -m tests.bench.rest_load

bench: venv ## medians and ratios against xl, in the lab
	scripts/bench

soak: venv ## the long forms: every kill point, thousands of creates, a crowd of clients (hours)
	scripts/soak

bench-config: venv ## how fast domain files are read (part of bench; needs no lab)
	scripts/bench config

fuzz: venv ## a fuzzer over every parser, for FUZZ_SECONDS in all
	scripts/fuzz

lab: ## boot the lab and leave it running (scripts/lab exec -- CMD …)
	scripts/lab up

clean-lab: ## remove the lab's images and state
	scripts/lab clean

install: ## install on this Xen host (see README)
	scripts/install

venv: .venv/ready

.venv/ready: pyproject.toml setup.py scripts/bootstrap
	scripts/bootstrap
