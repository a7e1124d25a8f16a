"""Builds the libxl binding where Xen's headers are, and installs without it elsewhere."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from setuptools import Extension, setup  # type: ignore[import-untyped]

ROOT = Path(__file__).resolve().parent

WITHOUT = """\
xend: libxl's headers are not installed: the libxl binding is NOT built.
xend: This xend manages no Xen host; it runs with the simulator (xend --hypervisor sim).
xend: On a Xen host install libxen-dev and gcc first, then install xend again."""


def _build_ffi() -> ModuleType:
    """xend/libxl/build_ffi.py, without importing xend (whose requirements are not there yet)."""
    spec = importlib.util.spec_from_file_location("build_ffi", ROOT / "xend/libxl/build_ffi.py")
    if spec is None or spec.loader is None:
        raise SystemExit("xend/libxl/build_ffi.py is missing")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def extensions() -> list[Extension]:
    """The binding, or nothing; never a reason for the installation to fail."""
    build_ffi = _build_ffi()
    if not build_ffi.headers_present():
        print(WITHOUT, file=sys.stderr)
        return []
    generated = ROOT / "build" / "_xl"
    generated.mkdir(parents=True, exist_ok=True)
    extension: Extension = build_ffi.builder().distutils_extension(tmpdir=str(generated))
    extension.optional = True
    return [extension]


setup(ext_modules=extensions())
