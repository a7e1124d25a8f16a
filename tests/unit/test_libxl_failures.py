"""libxl's log, the boot loader's screen and the scripts' words become one clear error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from xend.errors import (
    BootloaderFailed,
    ConfigError,
    DeviceFailed,
    DomainNotFound,
    HypervisorError,
    InvalidArgument,
    OperationFailed,
    WorkerCrashed,
)
from xend.libxl import evidence, failures

DISK_LINES = [
    "libxl_device.c:380:libxl__device_disk_set_backend: Disk vdev=xvda failed to stat: /x: No such",
    "libxl_create.c:1320:initiate_domain_create: Domain 5:Unable to set disk defaults for disk 0",
    "libxl_create.c:1321:x: Domain 5:third",
]


def reply(log: list[str], **more: Any) -> dict[str, Any]:
    return {"operation": "create", "rc": -3, "rc_name": "ERROR_FAIL", "log": log, **more}


def test_the_first_lines_are_the_cause() -> None:
    error = failures.from_reply("create", reply(DISK_LINES), [])
    assert isinstance(error, HypervisorError)
    assert str(error) == (
        "create failed: Disk vdev=xvda failed to stat: /x: No such; "
        "Unable to set disk defaults for disk 0"
    )
    assert error.fields["log"] == tuple(DISK_LINES)
    assert error.fields["rc_name"] == "ERROR_FAIL"


def test_without_a_log_the_code_has_to_do() -> None:
    assert str(failures.from_reply("save", reply([]), [])) == "save failed: ERROR_FAIL"


def test_a_domain_that_is_gone() -> None:
    error = failures.hypervisor_error("destroy", -21, "ERROR_DOMAIN_NOTFOUND", [], 7)
    assert isinstance(error, DomainNotFound) and error.fields["domain"] == "7"


def test_a_boot_loader_that_fails_shows_what_it_said(tmp_path: Path) -> None:
    screen = tmp_path / "bootloader.5.log"
    screen.write_bytes(
        b"\x1b[2J\x1b[1;1H Using <img>\r\n\x1b(BTraceback:\r\n\r\nRuntimeError: none\r\n"
    )
    lines = [f"libxl_bootloader.c:720:x: Domain 5:bootloader failed - consult logfile {screen}"]
    found = evidence.explain(lines, 0)
    assert found == {"bootloader_output": " Using <img>\nTraceback:\nRuntimeError: none"}
    error = failures.from_reply(
        "create", reply(lines, evidence=found, bootloader="/usr/bin/pygrub"), []
    )
    assert isinstance(error, BootloaderFailed)
    assert str(error) == "Boot loader /usr/bin/pygrub failed: RuntimeError: none"
    assert "Traceback" in error.fields["stderr"]


def test_a_hotplug_script_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "xen-hotplug.log"
    log.write_text("of an earlier one\n")
    monkeypatch.setattr(evidence, "HOTPLUG_LOG", str(log))
    since = evidence.mark()
    log.write_text("of an earlier one\nifconfig: no such bridge\n")
    lines = [
        "libxl_exec.c:117:x: /etc/xen/scripts/vif-bridge online [99] exited with error status 1",
        "libxl_device.c:1337:x: script: Could not find bridge device xenbr9",
    ]
    found = evidence.explain(lines, since)
    error = failures.from_reply("create", reply(lines, evidence=found), [])
    assert isinstance(error, DeviceFailed)
    assert str(error) == (
        "Device vif failed: /etc/xen/scripts/vif-bridge online: Could not find bridge device xenbr9"
    )
    assert error.fields["status"] == 1
    assert error.fields["stderr"] == "ifconfig: no such bridge"


def test_a_script_that_hangs() -> None:
    lines = [
        "libxl_aoutils.c:1:x: killing execution of /etc/xen/scripts/block add because of timeout"
    ]
    error = failures.from_reply(
        "attach", reply(lines, evidence=evidence.explain(lines, 0)), ["said"]
    )
    assert isinstance(error, DeviceFailed)
    assert error.fields["device"] == "vbd" and "did not end in time" in str(error)


def test_other_replies() -> None:
    dropped = failures.from_reply("create", {"dropped": "b_info.x", "message": "lost b_info.x"}, [])
    assert isinstance(dropped, ConfigError) and dropped.fields["field"] == "b_info.x"
    bad = failures.from_reply("restore", {"file": "/f", "message": "it is short"}, [])
    assert isinstance(bad, InvalidArgument) and "/f cannot be restored" in str(bad)
    full = failures.from_reply("save", {"file": "/f", "errno": 28, "message": "No space"}, [])
    assert isinstance(full, OperationFailed) and str(full) == "save: /f: No space"


def test_a_crash_has_the_last_words() -> None:
    error = failures.crashed("create", "killed by SIGSEGV", ["a", "libxl: error: b"], 9)
    assert isinstance(error, WorkerCrashed)
    assert str(error) == "create: the worker process died (killed by SIGSEGV): libxl: error: b"
    assert error.fields["domid"] == 9 and error.fields["log"] == ("a", "libxl: error: b")
