"""The quick start of a Xen book, word for word, driven through a real pseudo-terminal.

`python3 -m tests.lab.quickstart` inside the lab's dom0 prints it as a transcript with times, which
is what `make demo` shows; `test_quickstart.py` runs the same steps.  Each step asserts.
"""

from __future__ import annotations

import re
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from tests.lab.screen import rendered
from tests.lab.terminal import PROMPT, Ended, Terminal, Unexpected, stdout_or_none

CONFIG = """\
name = "prospero"
uuid = "9f5b38cd-143d-77ce-6dd9-28541d89c02f"
maxmem = 256
memory = 256
vcpus = 1
bootloader = "/usr/bin/pygrub"
on_poweroff = "destroy"
on_reboot = "restart"
on_crash = "restart"
vfb = [ ]
disk = [ "tap:aio:/var/lib/xen/images/prospero.img,xvda,w" ]
vif = [ "mac=00:16:3e:63:b7:a0,bridge=xenbr0" ]
"""
CONFIG_PATH = Path("/etc/xen/prospero")
GUEST_PROMPT = r"\[root@prospero [^\n\]]*\]# "
SHOWN_PROMPT = "[root@prospero ~]# "
GUEST_ADDRESS = "10.77.0.2"
HOST_ADDRESS = "10.77.0.1"
ESCAPE = "\x1d"  # CTRL-]
BOOT_TIMEOUT = 300


class QuickStart:
    """The steps, in the book's order; each can rely on those before it."""

    def __init__(self, terminal: Terminal) -> None:
        self.terminal = terminal
        self.domid = 0

    def steps(self) -> list[Callable[[], None]]:
        return [
            self.info,
            self.list_before,
            self.create_with_console,
            self.look_around_in_guest,
            self.leave_console,
            self.list_running,
            self.interface_in_dom0,
            self.ping,
            self.console_again,
            self.reboot,
            self.restart_daemon,
            self.shutdown,
            self.hypervisor_messages,
        ]

    def run(self) -> None:
        CONFIG_PATH.write_text(CONFIG)
        for step in self.steps():
            self.terminal.heading((step.__doc__ or step.__name__).splitlines()[0].rstrip("."))
            step()

    # -- the steps -----------------------------------------------------------------------------

    def info(self) -> None:
        """The host: xm info."""
        output = self.terminal.command("xm info")
        values = dict(re.findall(r"^(\S+)\s*: (.*)$", output, re.M))
        assert values["release"], output
        assert values["xen_major"] == "4", output
        assert int(values["total_memory"]) > int(values["free_memory"]) > 256, output
        assert self.terminal.status() == 0

    def list_before(self) -> None:
        """Only Domain-0 runs: xm list."""
        rows = self._listed()
        assert list(rows) == ["Domain-0"], rows
        assert rows["Domain-0"][0] == "0"

    def create_with_console(self) -> None:
        """xm create -c prospero: pygrub's menu, then the boot, then a login prompt."""
        terminal = self.terminal
        terminal.child.sendline("xm create -c prospero")
        raw = ""
        for milestone in ("to boot the selected OS", r"Linux version [^\n]*\n", "prospero login: "):
            terminal.wait_for(milestone, timeout=BOOT_TIMEOUT, alive=True)
            raw += terminal.raw
        seen = re.sub(r"\n{3,}", "\n\n", rendered(PROMPT + raw))
        terminal.show(seen)
        assert 'Using config file "/etc/xen/prospero".' in seen, seen
        assert re.search("│ Prospero Linux .*│\n", seen), "pygrub's menu does not name the entry"
        assert re.search(r"\nStarted domain prospero \(id=\d+\)\n", seen), seen

    def look_around_in_guest(self) -> None:
        """Log in; its disk and network card are Xen's paravirtual ones."""
        self._login()
        messages = self._in_guest("dmesg | grep -E 'blkfront|xvda|netfront|vif'")
        assert re.search(r"blkfront: xvda", messages), messages
        assert re.search(r"netfront|Initialising Xen virtual ethernet", messages), messages
        assert "eth0 is a Xen paravirtual device" in messages, messages
        assert "/dev/xvda1" in self._in_guest("mount | grep ' / '")
        card = self._in_guest("ifconfig eth0")
        assert "00:16:3E:63:B7:A0" in card, card

    def leave_console(self) -> None:
        """CTRL-] leaves the console; the guest runs on."""
        terminal = self.terminal
        terminal.type(ESCAPE)
        seen = terminal.wait_for(re.escape(PROMPT))
        terminal.show(SHOWN_PROMPT + "^]\n" + seen.removesuffix(PROMPT))
        assert terminal.status() == 0

    def list_running(self) -> None:
        """xm list shows it."""
        rows = self._listed()
        assert list(rows) == ["Domain-0", "prospero"], rows
        domid, memory, vcpus, state, _ = rows["prospero"]
        self.domid = int(domid)
        assert self.domid > 0
        assert (memory, vcpus) == ("256", "1"), rows
        assert re.fullmatch(r"[r-][b-]----", state), state

    def interface_in_dom0(self) -> None:
        """vif N.0 in dom0 is the other end of the guest's eth0."""
        vif = f"vif{self.domid}.0"
        host = self.terminal.command(f"ifconfig {vif}")
        assert re.search("fe:ff:ff:ff:ff:ff", host, re.I), host
        assert vif in self.terminal.command("ls /sys/class/net/xenbr0/brif")
        guest = self._over_console("ifconfig eth0")
        host = self.terminal.command(f"ifconfig {vif}")
        sent, received = _packets(host, "TX"), _packets(host, "RX")
        guest_sent, guest_received = _packets(guest, "TX"), _packets(guest, "RX")
        assert received >= guest_sent > 0, (host, guest)
        assert sent >= guest_received, (host, guest)

    def ping(self) -> None:
        """They reach each other."""
        to_guest = self.terminal.command(f"ping -c 3 -W 10 {GUEST_ADDRESS}")
        assert " 0% packet loss" in to_guest, to_guest
        to_host = self._over_console(f"ping -c 3 {HOST_ADDRESS}")
        assert " 0% packet loss" in to_host, to_host

    def console_again(self) -> None:
        """xm console prospero, a second time."""
        assert "Linux" in self._over_console("uname -a")

    def reboot(self) -> None:
        """xm reboot prospero: the same name, a new domid."""
        terminal = self.terminal
        before = self.domid
        terminal.command("xm reboot prospero")
        assert terminal.status() == 0
        deadline = time.monotonic() + BOOT_TIMEOUT
        while self._quiet_domid() in (None, before):
            assert time.monotonic() < deadline, "prospero did not come back with a new domid"
            time.sleep(1)
        self.domid = self._quiet_domid() or 0
        while re.search(r"--p---", self._quiet("xm list prospero 2>&1")):
            assert time.monotonic() < deadline, "prospero stays in its boot loader"
            time.sleep(1)
        rows = self._listed()
        assert rows.get("prospero", [""])[0] == str(self.domid), (
            f"prospero is not domain {self.domid}: {rows}\n{self._quiet('xm log | tail -n 3')}"
        )
        self._attach_to_login("xm console prospero")
        self._login()
        self.leave_console()

    def restart_daemon(self) -> None:
        """/etc/init.d/xend restart disturbs nothing: the guest's uptime goes on."""
        before = float(self._over_console("cat /proc/uptime").split()[0])
        self.terminal.command("/etc/init.d/xend restart")
        assert self.terminal.status() == 0
        rows = self._listed()
        assert rows.get("prospero", [""])[0] == str(self.domid), (
            f"prospero is not domain {self.domid}: {rows}\n{self._quiet('xm log | tail -n 3')}"
        )
        after = float(self._over_console("cat /proc/uptime").split()[0])
        assert after > before, (before, after)

    def shutdown(self) -> None:
        """xm shutdown -w prospero: when it returns, the domain is gone."""
        output = self.terminal.command("xm shutdown -w prospero", timeout=BOOT_TIMEOUT)
        assert self.terminal.status() == 0
        assert "Domain prospero terminated" in output, output
        rows = self._listed()
        assert list(rows) == ["Domain-0"], rows

    def hypervisor_messages(self) -> None:
        """xm dmesg."""
        output = self.terminal.command("xm dmesg | head -n 12")
        # The ring keeps the newest 16 KiB: its first line may be the end of one that was cut.
        assert re.search(r"^\(XEN\) ", output, re.M), output
        theirs = self._quiet("xl dmesg | tail -n 5").partition("\n")[2]
        assert self._quiet("xm dmesg | tail -n 5").partition("\n")[2] == theirs

    # -- how they look ---------------------------------------------------------------------------

    def _listed(self) -> dict[str, list[str]]:
        """`xm list` by name."""
        lines = self.terminal.command("xm list").splitlines()
        assert lines and lines[0].split() == ["Name", "ID", "Mem", "VCPUs", "State", "Time(s)"], (
            lines
        )
        return {line.split()[0]: line.split()[1:] for line in lines[1:]}

    def _quiet(self, line: str) -> str:
        """A command that the transcript does not show."""
        self.terminal.child.sendline(line)
        return self.terminal.wait_for(re.escape(PROMPT))

    def _quiet_domid(self) -> int | None:
        found = re.search(r"^(\d+)$", self._quiet("xm domid prospero 2>&1"), re.M)
        return int(found.group(1)) if found else None

    def _login(self) -> None:
        """At the login prompt."""
        terminal = self.terminal
        terminal.child.sendline("root")
        terminal.wait_for("Password: ")
        terminal.child.sendline("prospero")
        greeting = re.sub(GUEST_PROMPT, "", terminal.wait_for(GUEST_PROMPT))
        terminal.show("prospero login: root\nPassword:" + re.sub(r"\n{2,}", "\n", greeting))

    def _in_guest(self, line: str) -> str:
        """Logged in on the console: types `line` there."""
        terminal = self.terminal
        terminal.child.sendline(line)
        seen = terminal.wait_for(GUEST_PROMPT)
        output = seen.partition("\n")[2].rpartition("\n")[0]
        terminal.show(SHOWN_PROMPT + line + "\n" + output)
        return output

    def _attach_to_login(self, command: str) -> None:
        """Attaches, again if the console moves meanwhile, until there is a login prompt."""
        terminal = self.terminal
        deadline = time.monotonic() + BOOT_TIMEOUT
        terminal.show(PROMPT + command)
        terminal.child.sendline(command)
        while True:
            time.sleep(1)
            terminal.type("\r")
            try:
                terminal.wait_for("prospero login: ", timeout=10, alive=True)
            except Ended:
                terminal.child.sendline(command)
            except Unexpected:
                if time.monotonic() > deadline:
                    raise
            else:
                return

    def _over_console(self, line: str) -> str:
        """xm console, one command (logged in already), CTRL-]."""
        terminal = self.terminal
        terminal.show(PROMPT + "xm console prospero")
        terminal.child.sendline("xm console prospero")
        time.sleep(1)  # what is typed before xenconsole has the terminal raw is lost
        terminal.type("\r")
        terminal.wait_for(GUEST_PROMPT, timeout=60)
        output = self._in_guest(line)
        self.leave_console()
        return output


def _packets(text: str, direction: str) -> int:
    found = re.search(rf"{direction} packets[: ](\d+)", text)
    assert found is not None, text
    return int(found.group(1))


def main() -> int:
    with Terminal(echo_to=stdout_or_none(True)) as terminal:
        began = time.monotonic()
        try:
            QuickStart(terminal).run()
        except AssertionError as error:
            step = traceback.extract_tb(error.__traceback__)[-1]
            print(f"\nThe quick start failed: {str(error) or step.line}", file=sys.stderr)
            return 1
        terminal.heading(f"Done, in {time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
