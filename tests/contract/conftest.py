"""Which hypervisor the contract is held against: `--hypervisor sim|xen`, or the environment's
XEND_TEST_HYPERVISOR.  Unset, it is the simulator everywhere, and real Xen for tests marked lab."""

from __future__ import annotations

import os

import pytest

CHOICES = ("sim", "xen")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--hypervisor", choices=CHOICES, help="run the contract only against this")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "hypervisor_kind" not in metafunc.fixturenames:
        return
    # Not known when this folder was not named on the command line: then the option is not there.
    asked = metafunc.config.getoption("--hypervisor", default=None)
    chosen = asked or os.environ.get("XEND_TEST_HYPERVISOR")
    if chosen not in (None, *CHOICES):
        pytest.exit(f"XEND_TEST_HYPERVISOR is '{chosen}': expected sim or xen", returncode=4)
    kinds = CHOICES if chosen is None else (chosen,)
    values = [
        pytest.param(kind, marks=pytest.mark.lab) if kind == "xen" else kind for kind in kinds
    ]
    metafunc.parametrize("hypervisor_kind", values, scope="function")
