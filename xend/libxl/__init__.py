"""The libxl binding ("pyxl shim"): Xen behind the port `xend.core.ports.Hypervisor`.

    hypervisor.py   implements the port; lanes.py: threads with a context each
    watcher.py      the event thread
    workers.py      long operations, each in a process: worker.py is what runs in there
    ctx.py          the only door to C; marshal*.py, schema.py: libxl's JSON, without C
    probe.py        why there is no hypervisor here, and what to do about it

Importing this package never needs Xen; `XenHypervisor.start` says what is missing.
"""
