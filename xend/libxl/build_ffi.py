#!/usr/bin/env python3
"""Builds `xend.libxl._xl`, the extension module around libxl (cffi, API mode).

`build_ffi.py --out DIR` leaves `DIR/xend/libxl/_xl*.so`.  `setup.py` uses `builder()`.  The
module belongs to the libxl release that it was built against (versioned symbols, SONAME
libxenlight.so.4.NN): build it on the host, or per distribution, never as a portable wheel.

Runs as a plain script, so it imports nothing of xend.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

import cffi

MODULE = "xend.libxl._xl"
DECLARATIONS = ("types.h", "domains.h", "host.h", "devices.h", "inspect.h", "shim.h")
"""In this order: later ones use what earlier ones declare."""

LIBRARIES = ("xenlight", "xentoollog", "xenstore")
WARNINGS = ("-Wall", "-Wextra", "-Wno-unused-parameter", "-Wno-missing-field-initializers")


def builder() -> cffi.FFI:
    """The declarations and the C source, ready to compile."""
    folder = Path(__file__).resolve().parent / "decl"
    ffi = cffi.FFI()
    for name in DECLARATIONS:
        ffi.cdef((folder / name).read_text())
    ffi.set_source(
        MODULE,
        (folder / "shim.c").read_text(),
        libraries=list(LIBRARIES),
        extra_compile_args=list(WARNINGS),
    )
    return ffi


def headers_present(include: Path = Path("/usr/include")) -> bool:
    """Whether libxen-dev (or its like) is installed."""
    return all((include / name).exists() for name in ("libxl.h", "xenstore.h", "xentoollog.h"))


def build(out: Path, *, verbose: bool = False) -> Path:
    """Compiles into `out/xend/libxl` and returns the path of the module."""
    target = out / Path(*MODULE.split(".")[:-1])
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="xl-build-") as scratch:
        built = Path(builder().compile(tmpdir=scratch, verbose=verbose))
        # A new file, not new bytes in the old one: a running process may have that one mapped.
        fresh = target / f".{built.name}.new"
        shutil.copyfile(built, fresh)
        fresh.chmod(0o755)
        return fresh.rename(target / built.name)


def emit(out: Path) -> None:
    """Writes only the generated C source (to check it against another release's headers)."""
    builder().emit_c_code(str(out))


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Build the libxl binding.")
    parser.add_argument("--out", type=Path, metavar="DIR", help="root below which to leave it")
    parser.add_argument("--emit-c", type=Path, metavar="FILE", help="only write the C source")
    parser.add_argument("--verbose", action="store_true")
    args = parser.parse_args(argv)
    if args.emit_c:
        emit(args.emit_c)
        return 0
    if not headers_present():
        print("libxl's headers are missing: install libxen-dev (and gcc)", file=sys.stderr)
        return 1
    out = args.out or Path(__file__).resolve().parents[2]
    print(build(out, verbose=args.verbose))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
