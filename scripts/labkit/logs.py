"""Collect what explains a failure in the lab, and keep it."""

from __future__ import annotations

import shutil
from pathlib import Path

from labkit.errors import LabError
from labkit.lab import Lab
from labkit.transfer import pull

# file name -> command in dom0
REPORTS = {
    "xl-dmesg": "xl dmesg",
    "xl-info": "xl info",
    "xl-list": "xl list -v",
    "xenstore": "xenstore-ls -f",
    "dmesg": "dmesg",
    "processes": "ps axfo pid,ppid,stat,etime,time,args",
    "network": "ip -s address; brctl show",
    "memory": "free -m; df -h",
    "sshd": "cat /var/log/sshd.log",
}
REPORT_SECONDS = 30.0


def collect(lab: Lab) -> Path:
    """Copy serial logs, and from each dom0 that answers, Xen's and xend's own."""
    target = lab.new_log_folder()
    for folder in sorted(lab.folder.glob("host*")):
        host = lab.host(int(folder.name.removeprefix("host")))
        for log in (host.serial, host.stderr):
            if log.exists():
                shutil.copy(log, target / f"{folder.name}-{log.name}")
    state = lab.state()
    for index in range(len(state.hosts) if state else 0):
        _collect_dom0(lab, index, target / f"host{index}")
    return target


def _collect_dom0(lab: Lab, index: int, target: Path) -> None:
    target.mkdir(exist_ok=True)
    remote = lab.remote(index)
    for name, command in REPORTS.items():
        try:
            text = remote.run(f"{command} 2>&1", timeout=REPORT_SECONDS)
        except LabError as err:
            text = f"{err.cause}\n"
        (target / f"{name}.txt").write_text(text)
    try:
        pull(remote, ["/var/log/xen"], target, slash=True)
    except LabError as err:
        (target / "var-log-xen-failed.txt").write_text(f"{err.cause}\n")
