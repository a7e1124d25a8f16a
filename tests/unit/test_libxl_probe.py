"""Without Xen there is one clear sentence, for each reason its own."""

from __future__ import annotations

import builtins
import importlib
import sys
from pathlib import Path
from typing import Any

import pytest

from xend.errors import HypervisorUnavailable
from xend.libxl import build_ffi, probe


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Domain-0 where nothing is missing; tests take things away."""
    places = {"HYPERVISOR_TYPE": "type", "CAPABILITIES": "capabilities"}
    for name, leaf in places.items():
        monkeypatch.setattr(probe, name, tmp_path / leaf)
    monkeypatch.setattr(probe, "PRIVCMD", (tmp_path / "privcmd",))
    monkeypatch.setattr(probe, "XENSTORED", (tmp_path / "socket",))
    (tmp_path / "type").write_text("xen\n")
    (tmp_path / "capabilities").write_text("control_d\n")
    (tmp_path / "privcmd").touch()
    (tmp_path / "socket").touch()
    return tmp_path


def reason() -> str:
    with pytest.raises(HypervisorUnavailable) as caught:
        probe.check_host()
    assert caught.value.fields["remedy"]
    return str(caught.value.fields["reason"])


def test_a_whole_host_passes(host: Path) -> None:
    probe.check_host()


def test_no_xen(host: Path) -> None:
    (host / "type").unlink()
    (host / "capabilities").unlink()
    assert "does not run on Xen" in reason()


def test_another_hypervisor(host: Path) -> None:
    (host / "type").write_text("kvm\n")
    assert "does not run on Xen" in reason()


def test_a_guest(host: Path) -> None:
    (host / "capabilities").write_text("\n")
    assert "a Xen guest" in reason()


def test_no_privcmd(host: Path) -> None:
    (host / "privcmd").unlink()
    assert "privcmd" in reason()


def test_no_xenstored(host: Path) -> None:
    (host / "socket").unlink()
    assert "xenstored is not running" in reason()


def test_no_permission(host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda *_: False)
    assert "no permission" in reason()


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ModuleNotFoundError("No module", name="xend.libxl._xl"), "was not built"),
        (ImportError("libxenlight.so.4.17: cannot open shared object file"), "does not fit"),
    ],
)
def test_no_binding(monkeypatch: pytest.MonkeyPatch, error: ImportError, expected: str) -> None:
    def fail(name: str) -> Any:
        raise error

    monkeypatch.setattr(importlib, "import_module", fail)
    with pytest.raises(HypervisorUnavailable, match=expected) as caught:
        probe.load_binding()
    assert "nstall" in caught.value.fields["remedy"]


def test_the_package_does_not_need_the_extension() -> None:
    """What the daemon imports at start must not pull the extension in."""
    held = {
        name: sys.modules.pop(name) for name in list(sys.modules) if name.startswith("xend.libxl")
    }
    original = builtins.__import__

    def guard(name: str, *args: Any, **kwargs: Any) -> Any:
        assert name not in ("xend.libxl._xl", "xend.libxl.ctx"), name
        return original(name, *args, **kwargs)

    builtins.__import__ = guard
    try:
        importlib.import_module("xend.libxl.hypervisor")
    finally:
        builtins.__import__ = original
        for name in [name for name in sys.modules if name.startswith("xend.libxl")]:
            del sys.modules[name]
        sys.modules.update(held)


def test_the_extension_builds_and_refuses_the_event_loop(tmp_path: Path) -> None:
    assert build_ffi.headers_present(), "scripts/bootstrap installs libxen-dev"
    built = build_ffi.build(tmp_path)
    assert built.parent == tmp_path / "xend" / "libxl"
    assert built.name.startswith("_xl.")
    assert [path.name for path in built.parent.iterdir()] == [built.name]
