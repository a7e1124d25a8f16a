"""The host's end and its next start, driven from outside: `python3 -m tests.soak.dom0_reboot` with
a lab that runs and has this checkout.

A guest is saved by xendomains when dom0 goes down and is there again after it came up, the same one
and not a newly booted one; a managed domain with on_xend_start is started; one that was made by
hand is gone, and the daemon knows that.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
LAB = ROOT / "scripts/lab"
LINUX = """
name = "reboot-saved"
memory = 128
kernel = "/var/lib/xen/images/vmlinux"
ramdisk = "/var/lib/xen/images/initrd.img"
extra = "console=hvc0"
"""
TINY = 'name = "{name}"\nmemory = 4\nkernel = "/var/lib/xen/images/tiny"\n{more}\n'
OPTIONS = "XENDOMAINS_SHUTDOWN_ALL=\\nXENDOMAINS_CREATE_USLEEP=\\nXENDOMAINS_SAVE=/var/lib/xen/save"
SCRIPT = "/usr/lib/xend/lib/scripts/xendomains"


def dom0(command: str) -> str:
    """What it printed; a failure is ours."""
    done = subprocess.run([LAB, "exec", "--", command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def names() -> set[str]:
    return {line.split()[0] for line in dom0("xm list").splitlines()[2:]}


def eventually(command: str, seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while dom0(f"{command} && echo yes || true").strip()[-3:] != "yes":
        assert time.monotonic() < deadline, f"it did not happen: {command}"
        time.sleep(1)


def prepare() -> None:
    managed = TINY.format(name="reboot-managed", more='on_xend_start = "start"')
    by_hand = TINY.format(name="reboot-by-hand", more="")
    for path, text in (
        ("/etc/xen/auto/saved", LINUX),
        ("/root/managed", managed),
        ("/root/by-hand", by_hand),
    ):
        dom0(f"mkdir -p /etc/xen/auto && cat > {path} <<'END'\n{text}\nEND")
    dom0(f"printf '{OPTIONS}\\n' >> /etc/default/xendomains")
    dom0("/etc/init.d/xend start")
    dom0("xm new /root/managed && xm start reboot-managed && xm create -q /root/by-hand")
    dom0(f"{SCRIPT} start")
    log = "/var/log/xen/console/guest-reboot-saved.log"
    eventually(f"grep -q 'guest ready' {log}")
    assert names() == {"reboot-saved", "reboot-managed", "reboot-by-hand"}


def main() -> int:
    prepare()
    uuid = dom0("xm list -l reboot-saved | grep -m1 uuid")
    said = dom0(f"{SCRIPT} stop")
    assert "reboot-by-hand: skipped" in said, said
    assert names() == {"reboot-managed", "reboot-by-hand"}
    dom0("/etc/init.d/xend stop")
    subprocess.run([LAB, "reboot"], check=True)
    assert dom0("xl list").count("\n") == 2, "domains survived a reboot of their host"
    dom0("/etc/init.d/xend start")
    eventually("xl list reboot-managed >/dev/null 2>&1")
    assert names() == {"reboot-managed"}, "the daemon lists what ended with the host"
    dom0(f"{SCRIPT} start")
    assert names() == {"reboot-managed", "reboot-saved"}
    again = dom0("xm list -l reboot-saved | grep -m1 uuid")
    assert again == uuid
    time.sleep(3)
    boots = dom0("cat /var/log/xen/console/guest-reboot-saved.log | grep -c 'guest ready'")
    assert int(boots) == 1, f"it was booted {boots} times, not restored"
    dom0(f"{SCRIPT} status")
    for name in sorted(names()):
        dom0(f"xm destroy {name}")
    dom0("xm delete reboot-managed")
    print("over a reboot of dom0: saved and restored, started, and forgotten")
    return 0


if __name__ == "__main__":
    sys.exit(main())
