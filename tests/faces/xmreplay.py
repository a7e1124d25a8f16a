"""Replays recorded runs of the original xm against ours, on a host made up for it.

    unshare --mount python3 -m tests.faces.xmreplay plain|warm

In a mount namespace of its own it puts files where the recordings had them, serves their answers
on the daemon's socket and runs every case; it prints one JSON object, case name to differences.
`plain` runs each case in a fork of this process, with the clock of the recordings; `warm` through
the launcher and a warm process.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
import xmlrpc.client
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests import recorded

CLOCK = 1400000000
SOCKET = "/run/xend/xmlrpc.sock"
XEN_API_SOCKET = "/run/xend/xen-api.sock"
CHECKOUT = Path(__file__).parents[2]
DROPPED = re.compile(
    r"tmem-|sched-sedf|vnet-|network2-|addlabel|rmlabel|getlabel|setpolicy|resetpolicy|getpolicy"
    r"|labels|resources|dumppolicy|dry-run|getenforce|setenforce"
)
ONLY_CLOCK = {"prefix-04"}
"""Cases whose output is the time of day and nothing else that could differ."""
ONLY_PLAIN = {"reboot-07", "noserver-02"}
"""One polls once a second for half a minute; the other is a user's who may not read Python here."""

Answer = dict[str, Any]


class RecordedServer:
    """Answers each call with the next recorded answer, whatever is called; notes the calls."""

    def __init__(self, exchanges: list[Answer], path: str = SOCKET) -> None:
        self._answers = list(exchanges)
        self.calls: list[list[Any]] = []
        self._path = Path(path)
        self._listener = socket.socket(socket.AF_UNIX)
        self._path.unlink(missing_ok=True)
        self._listener.bind(path)
        self._listener.listen(8)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as requests, contextlib.suppress(OSError):
            while requests.readline():
                size = 0
                while (line := requests.readline().strip()) != b"":
                    name, _, value = line.partition(b":")
                    if name.lower() == b"content-length":
                        size = int(value)
                connection.sendall(self._answer(requests.read(size)))

    def _answer(self, body: bytes) -> bytes:
        params, method = xmlrpc.client.loads(body.decode("utf-8", "surrogateescape"))
        self.calls.append([method, json.loads(json.dumps(params))])
        data = self._next_answer()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: {len(data)}\r\n\r\n"
        return head.encode() + data

    def _next_answer(self) -> bytes:
        if not self._answers:
            return xmlrpc.client.dumps(xmlrpc.client.Fault(1, "no answer is left")).encode()
        body = self._answers.pop(0)["response_body"]
        text, encoding = (
            (body["__latin1__"], "latin-1") if isinstance(body, dict) else (body, "utf-8")
        )
        return bytes(text, encoding)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._path.unlink(missing_ok=True)


CONFIG = r"""
(xend-relocation-server yes)
(xend-relocation-hosts-allow '^localhost$ ^localhost\\.localdomain$')
(network-script network-bridge)
(vif-script vif-bridge)
(dom0-min-mem 196)
(enable-dom0-ballooning yes)
(total_available_memory 0)
(dom0-cpus 0)
(vncpasswd '')
"""
"""What the daemon's configuration file on that host set."""

STORE = {
    "/local/domain/7/console/vnc-port": "5907",
    "/local/domain/7/device/vfb/0/backend": "/local/domain/0/backend/vfb/7/0",
    "/local/domain/0/backend/vfb/7/0/vnclisten": "127.0.0.1",
    "/local/domain/0/backend/vfb/7/0/vncpasswd": "secret",
    "/local/domain/9/console/vnc-port": "5909",
}


def serve_xenstore() -> None:
    """The nodes that a viewer looks up."""
    Path("/run/xenstored").mkdir()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind("/run/xenstored/socket")
    listener.listen(8)

    def serve() -> None:
        while True:
            connection, _ = listener.accept()
            with connection:
                while head := connection.recv(16):
                    path = connection.recv(int.from_bytes(head[12:], "little"))
                    value = STORE.get(path[:-1].decode())
                    kind, data = (16, b"ENOENT\0") if value is None else (2, value.encode())
                    words = (kind, 0, 0, len(data))
                    reply = b"".join(word.to_bytes(4, "little") for word in words)
                    connection.sendall(reply + data)

    threading.Thread(target=serve, daemon=True).start()


def mount(*args: str) -> None:
    subprocess.run(["mount", *args], check=True)


def make_host(folder: Path) -> None:
    """Stand-ins for what the recordings had: a kernel, devices, programs, the uptime."""
    for place in ("/run", "/boot", "/sys"):
        mount("-t", "tmpfs", "none", place)
    Path("/etc/xen").mkdir(exist_ok=True)
    mount("-t", "tmpfs", "none", "/etc/xen")
    Path("/run/xend").mkdir()
    Path("/boot/vmlinuz").touch()
    Path("/etc/xen/xend-config.sxp").write_text(CONFIG)
    (folder / "uptime").write_text("123456.78 1.0\n")
    mount("--bind", str(folder / "uptime"), "/proc/uptime")
    usb = Path("/sys/bus/usb")
    for bus in ("1-1", "2-1.4"):
        device = usb / "devices" / bus
        device.mkdir(parents=True)
        for name, value in (
            ("idVendor", "1234"),
            ("idProduct", "5678"),
            ("manufacturer", "ACME"),
            ("product", "Rocket Stick"),
            ("bDeviceClass", "00"),
        ):
            (device / name).write_text(value + "\n")
    (usb / "drivers/usbback").mkdir(parents=True)
    (usb / "drivers/usbback/port_ids").write_text("2-1.4:7:0:2\n")
    programs = folder / "bin"
    programs.mkdir()
    for name in ("xenconsole", "vncviewer", "xentop"):
        (programs / name).write_text(f'#!/bin/sh\necho EXEC {name} "$@"\n')
    (programs / "lsscsi").write_text(
        "#!/bin/sh\n"
        "echo '[0:0:0:0]  disk  ATA  A  1  /dev/sda  /dev/sg0'\n"
        "echo '[0:0:1:0]  disk  ATA  B  1  /dev/sdb  /dev/sg1'\n"
        "echo '[1:0:0:0]  tape  HP   C  1  /dev/st0  /dev/sg2'\n"
    )
    for program in programs.iterdir():
        program.chmod(0o755)
    serve_xenstore()


@contextlib.contextmanager
def files_of(case: Answer) -> Iterator[None]:
    """The case's files while it runs."""
    made: list[Path] = []
    for name, content in case["files"].items():
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            made.append(path)
        path.write_text(content if isinstance(content, str) else "")
    yield
    for path in made:
        path.unlink()


class Ended:
    """How a run has ended."""

    def __init__(self, status: int, out: str, err: str) -> None:
        self.status = status
        self.out = out
        self.err = err


def environment(case: Answer, folder: Path) -> dict[str, str]:
    path = f"{folder}/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return {"PATH": path, "HOME": "/root", "TZ": "UTC", "LC_ALL": "C", **case["env"]}


def user_of(case: Answer) -> tuple[int, int]:
    """`root`, or numbers of the user and the group."""
    user, _, group = case["user"].replace("root", "0:0").partition(":")
    return int(user), int(group)


def run_plainly(case: Answer, folder: Path) -> Ended:
    """`xend.cli.main.main` in a fork, so that nothing need be imported for each case anew."""
    texts = [tempfile.TemporaryFile() for _ in range(3)]  # noqa: SIM115
    texts[0].write((case["stdin"] or "").encode("latin-1", "replace"))
    texts[0].seek(0)
    pid = os.fork()
    if pid == 0:
        for number, text in enumerate(texts):
            os.dup2(text.fileno(), number)
        os.chdir(case["cwd"])
        user, group = user_of(case)
        os.setgroups([group])
        os.setgid(group)
        os.setuid(user)
        os.environ.clear()
        os.environ.update(environment(case, folder))
        main(["xm", *case["argv"][1:]])
    _, wait_status = os.waitpid(pid, 0)
    outputs = []
    for text in texts[1:]:
        text.seek(0)
        outputs.append(text.read().decode("utf-8", "surrogateescape"))
    return Ended(os.waitstatus_to_exitcode(wait_status), *outputs)


def run_warmly(case: Answer, folder: Path) -> Ended:
    done = subprocess.run(
        [folder / "xm", *case["argv"][1:]],
        env=environment(case, folder),
        cwd=case["cwd"],
        input=(case["stdin"] or "").encode("latin-1", "replace"),
        capture_output=True,
        check=False,
        timeout=60,
    )
    texts = (data.decode("utf-8", "surrogateescape") for data in (done.stdout, done.stderr))
    return Ended(done.returncode, *texts)


def usage_line(text: str) -> str:
    found = re.search(r"^Usage: xm.*$", text, re.MULTILINE)
    return found[0].rstrip() if found else ""


def without_prose(text: str) -> str:
    """The shell shows help among other output: leave its usage line and its option names."""
    if "\nxm> Usage: xm" not in text:
        return text
    lines = text.splitlines()
    return "\n".join(
        line[:32] if line.startswith("  -") else line
        for number, line in enumerate(lines)
        if number < 2 or not lines[number - 2].startswith("xm> Usage: ")
    )


def differences(case: Answer, ended: Ended, calls: list[list[Any]], with_clock: bool) -> list[str]:
    """By the rules that came with the recordings: help by its usage line, all else exactly."""
    command = case["argv"][1] if len(case["argv"]) > 1 else ""
    if "Traceback" in ended.out + ended.err:
        return [ended.err]
    if DROPPED.match(command) and case["group"] != "xenapi":
        told = ended.status == 1 and ("Error: " in ended.err or "Usage: xm" in ended.out)
        return [] if told and not calls else [f"{ended.status}: {ended.err}, {calls}"]
    found = []
    if ended.status != case["exit"]:
        found.append(f"exit {ended.status}, not {case['exit']}")
    wanted = [[item["method"], item["params"]] for item in case["exchanges"]]
    if calls != wanted:
        found.append(f"calls {calls}, not {wanted}")
    if case["stderr_is_traceback"]:
        return found
    out, err = recorded.blob(case["stdout"]), recorded.blob(case["stderr"])
    out, ours = without_prose(out), without_prose(ended.out)
    if err != ended.err:
        found.append(f"stderr {ended.err!r}, not {err!r}")
    if usage_line(out) or "\nValues:\n" in out:
        if usage_line(out) != usage_line(ended.out):
            found.append(f"usage {usage_line(ended.out)!r}, not {usage_line(out)!r}")
    elif not with_clock and (case["group"] == "uptime" or case["name"] in ONLY_CLOCK):
        if len(ended.out.splitlines()) != len(out.splitlines()):
            found.append("number of lines")
    elif out != ours:
        found.append(f"stdout {ended.out!r}, not {out!r}")
    return found


def replay(mode: str, folder: Path) -> dict[str, list[str]]:
    results = {}
    runner = run_plainly if mode == "plain" else run_warmly
    for name, case in recorded.cases("commands").items():
        if mode == "warm" and name in ONLY_PLAIN:
            continue
        path = XEN_API_SOCKET if case["group"] == "xenapi" else SOCKET
        server = RecordedServer(case["exchanges"], path) if case["server_running"] else None
        with files_of(case):
            ended = runner(case, folder)
        calls = server.calls if server else []
        if server:
            server.close()
        results[name] = differences(case, ended, calls, mode == "plain")
    return results


def build_launcher(
    path: Path,
    python: str = sys.executable,
    with_libc: bool = platform.machine() != "x86_64",
) -> None:
    """One whose plain command line is this checkout's."""
    start = f"import sys; sys.path.append('{CHECKOUT}')"
    start += "; from xend.cli.main import main_of_launcher; main_of_launcher()"
    compiler = ["cc", "-O2", "-Wall", "-Wextra", "-Werror", "-static"]
    sources = [CHECKOUT / "scripts/launcher/xm.c"]
    if not with_libc:
        compiler += ["-nostdlib", "-ffreestanding", "-fno-stack-protector"]
        sources.append(CHECKOUT / "scripts/launcher/bare.c")
    compiler += [f'-DXM_PYTHON="{python}"', f'-DXM_START="{start}"']
    subprocess.run([*compiler, "-o", path, *sources], check=True)


def start_warm(folder: Path) -> subprocess.Popen[bytes]:
    """A launcher that has nothing to fall back to but the same command line, and its server."""
    build_launcher(folder / "xm")
    warm = subprocess.Popen(
        [sys.executable, "-m", "xend.cli.warm", "--socket", "/run/xend/warm.sock"],
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
    )
    while not Path("/run/xend/warm.sock").exists():
        time.sleep(0.01)
    return warm


if __name__ == "__main__":
    from xend.cli import warm as warm_side
    from xend.cli.main import main

    mount("--make-rprivate", "/")
    if not str(CHECKOUT).startswith("/tmp/"):
        mount("-t", "tmpfs", "none", "/tmp")  # recordings have files there
    with tempfile.TemporaryDirectory() as name:
        make_host(Path(name))
        if sys.argv[1] == "plain":
            warm_side.import_everything()
            time.time = lambda: float(CLOCK)
            time.sleep = lambda _seconds: None
            print(json.dumps(replay("plain", Path(name))))
        else:
            process = start_warm(Path(name))
            print(json.dumps(replay("warm", Path(name))))
            process.kill()
            process.wait()
