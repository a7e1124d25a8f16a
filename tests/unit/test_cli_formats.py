"""What commands print, to the letter: scripts cut these columns."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faces.xmdaemon import FakeDaemon, Refusal, Run, domain
from xend.cli.listing import cpu_ranges
from xend.cli.records import DomainRow, fields, text_of
from xend.cli.tuning import cpu_numbers

DOMAINS = [domain(0, "Domain-0", "r-----"), domain(7, "prospero"), domain(None, "gonzalo")]
VBD = [
    [51712, [["backend-id", "0"], ["state", "4"], ["backend", "/b/51712"], ["ring-ref", "8"]]],
]
VIF = [[0, [["mac", "00:16:3E:00:00:01"], ["state", "4"], ["handle", "0"], ["backend", "/b/0"]]]]


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[FakeDaemon]:
    def one(name: Any, _full: int = 0) -> Any:
        for record in DOMAINS:
            if str(name) in (DomainRow(record).name, DomainRow(record).domid):
                return record
        raise Refusal(3, str(name))

    daemon = FakeDaemon(
        tmp_path,
        xend__domain=one,
        xend__domains=lambda *_: ["Domain-0", "prospero"],
        xend__domains_with_state=lambda *_: DOMAINS,
        xend__domain__getDeviceSxprs=lambda _name, kind: {"vbd": VBD, "vif": VIF}.get(kind, []),
        xend__domain__getRestartCount=lambda _name: 0,
    )
    yield daemon
    daemon.close()


@pytest.fixture
def xm(tmp_path: Path, daemon: FakeDaemon) -> Run:
    return Run(tmp_path, {"XEND_RUN_DIR": str(tmp_path), "XM_CONFIG_FILE": "/nosuch", "TZ": "UTC"})


def test_list(xm: Run) -> None:
    assert xm("list") == (
        0,
        "Name                                        ID   Mem VCPUs      State   Time(s)\n"
        "Domain-0                                     0   256     1     r-----     12.2\n"
        "prospero                                     7   256     1     -b----     12.2\n"
        "gonzalo                                          256     1                12.2\n",
        "",
    )


def test_list_long(xm: Run) -> None:
    status, out, _ = xm("list", "-l", "prospero")
    assert status == 0
    assert out.startswith("(domain\n    (domid 7)\n    (vcpus 1)\n")
    assert out.endswith("    (state -b----)\n)\n")


def test_list_json(xm: Run) -> None:
    rows = json.loads(xm("list", "--json")[1])
    assert [row["name"] for row in rows] == ["Domain-0", "prospero", "gonzalo"]
    assert rows[1] == {
        "name": "prospero",
        "domid": 7,
        "uuid": "00000000-0000-4000-8000-000000000007",
        "memory": 256,
        "vcpus": 1,
        "state": "-b----",
        "cpu_time": 12.25,
        "pool": None,
    }
    assert (rows[2]["domid"], rows[2]["state"]) == (None, None)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--state=running", "x"],
            "You may specify either a state or a particular VM, but not both",
        ),
        (["--pool=p", "x"], "You may specify either a pool or a particular VM, but not both"),
        (["--bogus"], "option --bogus not recognized"),
    ],
)
def test_list_called_wrongly(xm: Run, words: list[str], message: str) -> None:
    status, out, err = xm("list", *words)
    assert (status, err) == (1, f"Error: {message}\n")
    assert out.startswith("Usage: xm list ")


def test_a_record_without_sense(xm: Run, daemon: FakeDaemon) -> None:
    """What was already printed stays.  (Our own daemon gives bare `xm list` no records.)"""
    daemon.methods["xend.domains_with_state"] = lambda *_: [["domain", ["memory", "abc"]]]
    status, out, err = xm("list", "--label")
    assert (status, err) == (1, "Error: Invalid argument.\n")
    assert out.startswith("Name  ")
    daemon.methods["xend.domains_with_state"] = lambda *_: None
    status, out, err = xm("list", "--label")
    assert status == 1
    assert err.startswith("Error: xend's answer is not understood: ")


@pytest.mark.parametrize(
    ("state", "word"),
    [
        ("", "shutoff"),
        ("r-----", ""),
        ("-b----", "idle"),
        ("--p---", "paused"),
        ("---s--", "shutoff"),
        ("----c-", "crashed"),
        ("-----d", "shutdown"),
        ("rb----", "idle"),
        ("--ps--", "shutoff"),
    ],
)
def test_domstate(xm: Run, daemon: FakeDaemon, state: str, word: str) -> None:
    daemon.methods["xend.domain"] = lambda *_: ["domain", ["name", "x"], ["state", state]]
    assert xm("domstate", "x") == (0, f"{word}\n" if word else "", "")


def test_paused_by_an_administrator(xm: Run, daemon: FakeDaemon) -> None:
    daemon.methods["xend.domain"] = lambda *_: ["domain", ["name", "x"], ["state", "--p---"]]
    daemon.methods["xend.domain.getpauseflag"] = lambda _name: True
    assert xm("domstate", "x")[1] == "paused by admin\n"


def test_domid_and_domname(xm: Run) -> None:
    assert xm("domid", "prospero")[1] == "7\n"
    assert xm("domid", "gonzalo")[1] == "None\n"
    assert xm("domname", "7")[1] == "prospero\n"
    assert xm("domname", "8") == (3, "", "Error: Domain '8' does not exist.\n")


def test_uptime(xm: Run, daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch) -> None:
    record = [*domain(7, "web"), ["start_time", 1_000_000.4]]
    daemon.methods["xend.domains_with_state"] = lambda *_: [record, domain(None, "off")]
    monkeypatch.setattr(time, "time", lambda: 1_000_000.4 + 2 * 86400 + 3 * 3600 + 65)
    assert xm("uptime")[1] == (
        "Name                                ID Uptime \n"
        "web                                  7 2 days,  3:01:05\n"
        "off                                     0:00:00\n"
    )
    assert xm("uptime", "-s")[1].splitlines()[0].endswith(" up 2 days,  3:01, web (7)")
    assert json.loads(xm("uptime", "--json")[1])[0] == {
        "name": "web",
        "domid": 7,
        "uptime": 2 * 86400 + 3 * 3600 + 65,
    }


def vcpu(number: int, cpu: int, online: int, cpumap: list[int]) -> list[Any]:
    return [
        "vcpu",
        ["number", number],
        ["online", online],
        ["blocked", 1],
        ["running", 0],
        ["cpu_time", 1.25],
        ["cpu", cpu],
        ["cpumap", cpumap],
    ]


def test_vcpu_list(xm: Run, daemon: FakeDaemon) -> None:
    vcpus = [
        vcpu(0, 1, 1, [0, 1, 2, 3]),
        vcpu(1, 1, 0, [0, 1, 3]),
        vcpu(2, -1, 0, [9]),
    ]
    daemon.methods["xend.domain.getVCPUInfo"] = lambda name: [
        "domain",
        ["domid", 7],
        ["name", name],
        *vcpus,
    ]
    daemon.methods["xend.node.info"] = lambda: [["system", "Linux"], ["nr_cpus", 4]]
    assert xm("vcpu-list", "web")[1] == (
        "Name                                ID  VCPU   CPU State   Time(s) CPU Affinity\n"
        "web                                  7     0     1   -b-       1.2 any cpu\n"
        "web                                  7     1     -   --p       1.2 0-1,3\n"
        "web                                  7     2                   1.2 no cpus\n"
    )
    rows = json.loads(xm("vcpu-list", "--json", "web")[1])
    assert [row["cpu"] for row in rows] == [1, None, None]


def test_device_lists(xm: Run) -> None:
    assert xm("block-list", "prospero")[1] == (
        "Vdev  BE handle state evt-ch ring-ref BE-path\n"
        "51712  0    0     4      -1     8     /b/51712                        \n"
    )
    assert xm("network-list", "prospero")[1] == (
        "Idx BE     MAC Addr.     handle state evt-ch tx-/rx-ring-ref BE-path\n"
        "0   -1 00:16:3E:00:00:01    0     4      -1    -1   /-1      /b/0"
        "                            \n"
    )
    assert xm("block-list", "--long", "prospero")[1].startswith("(51712 ((backend-id 0) ")
    assert json.loads(xm("network-list", "--json", "prospero")[1])[0]["mac"] == "00:16:3E:00:00:01"
    assert xm("scsi-list", "prospero") == (0, "", "")


def test_detach_by_mac(xm: Run, daemon: FakeDaemon) -> None:
    assert xm("network-detach", "prospero", "00:16:3e:00:00:01", "-f")[0] == 0
    assert daemon.calls[-1] == ("xend.domain.destroyDevice", ["prospero", "vif", "0", "-f", True])
    status, _, err = xm("network-detach", "prospero", "00:16:3e:00:00:02")
    assert (status, err) == (
        1,
        "Error: Cannot find device '00:16:3e:00:00:02' in domain 'prospero'\n",
    )


def test_info(xm: Run, daemon: FakeDaemon) -> None:
    daemon.methods["xend.node.info"] = lambda _numa: [["system", "L"], ["host", "h"], ["lonely"]]
    assert xm("info")[1] == "host                   : h\nlonely                 : (none)\n"
    assert json.loads(xm("info", "--json")[1]) == {"host": "h", "lonely": None}


@pytest.mark.parametrize("text", ["", "one line\n", "no end"])
def test_dmesg_ends_its_line(xm: Run, daemon: FakeDaemon, text: str) -> None:
    daemon.methods["xend.node.dmesg.info"] = lambda: text
    assert xm("dmesg")[1] == text.rstrip("\n") + "\n"


SCHEDULERS: list[tuple[str, dict[str, int], str]] = [
    ("credit", {"weight": 256, "cap": 0}, "   256    0"),
    ("credit2", {"weight": 512}, "   512"),
]


@pytest.mark.parametrize(("policy", "share", "columns"), SCHEDULERS)
def test_schedulers(
    xm: Run, daemon: FakeDaemon, policy: str, share: dict[str, int], columns: str
) -> None:
    daemon.methods["xend.node.info"] = lambda: [["system", "L"], ["xen_scheduler", policy]]
    daemon.methods[f"xend.domain.sched_{policy}_get"] = lambda _name: share
    daemon.methods[f"xend.domain.sched_{policy}_set"] = lambda *_: 0
    status, out, _ = xm(f"sched-{policy}")
    assert status == 0
    assert out.splitlines()[2] == f"prospero                             7 {columns}"
    assert xm(f"sched-{policy}", "-d", "prospero", "-w", "9") == (0, "", "")
    method, params = daemon.calls[-1]
    assert method == f"xend.domain.sched_{policy}_set"
    assert params == ["prospero", 9, None][: 1 + len(share)]
    other = "credit2" if policy == "credit" else "credit"
    assert xm(f"sched-{other}") == (1, "", f"Error: Xen is running with the {policy} scheduler\n")


def test_a_domain_that_goes_while_shares_are_listed(xm: Run, daemon: FakeDaemon) -> None:
    def get(name: str) -> dict[str, int]:
        if name == "prospero":
            raise Refusal(3, name)
        return {"weight": 1, "cap": 2}

    daemon.methods["xend.node.info"] = lambda: [["system", "L"], ["xen_scheduler", "credit"]]
    daemon.methods["xend.domain.sched_credit_get"] = get
    status, out, err = xm("sched-credit")
    assert (status, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines()] == ["Name", "Domain-0", "gonzalo"]


@pytest.mark.parametrize(
    ("words", "mib"),
    [("64", 64), ("64m", 64), ("1G", 1024), ("2048k", 2), ("1500k", 1), ("5x", 0)],
)
def test_memory(xm: Run, daemon: FakeDaemon, words: str, mib: int) -> None:
    status, out, _ = xm("mem-set", "prospero", words)
    assert (status, out) == (0, "ignoring unknown unit\n" if words == "5x" else "")
    assert daemon.calls[-1] == ("xend.domain.setMemoryTarget", ["prospero", mib])


@pytest.mark.parametrize("word", ["", "x", "1.5", "9999999999"])
def test_memory_that_is_none(xm: Run, daemon: FakeDaemon, word: str) -> None:
    status, _, err = xm("mem-max", "prospero", word)
    assert (status, err) == (1, "Error: Invalid argument.\n")
    assert daemon.calls == []


def test_cpu_lists() -> None:
    assert cpu_numbers("0-3,^1") == [0, 2, 3]
    assert cpu_numbers("3,1") == [3, 1]
    assert cpu_numbers("5-2") == []
    assert cpu_ranges([0, 1, 2, 5, 7, 8]) == "0-2,5,7-8"
    for wrong in ("a", "1-2-3", "1,^x", "-"):
        with pytest.raises(ValueError):
            cpu_numbers(wrong)


class Alive:
    """Domains that end one poll after the other."""

    def __init__(self, *polls: list[Any]) -> None:
        self.polls = list(polls)

    def __call__(self, *_: object) -> list[Any]:
        return self.polls.pop(0) if len(self.polls) > 1 else self.polls[0]


@pytest.fixture
def no_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _seconds: None)


@pytest.mark.usefixtures("no_sleep")
def test_shutdown_waits_until_they_are_gone(xm: Run, daemon: FakeDaemon) -> None:
    prospero, ending = domain(7, "prospero"), domain(7, "prospero", "--ps--")
    ariel = domain(8, "ariel")
    daemon.methods["xend.domains"] = lambda _detail: ["Domain-0", "prospero", "ariel"]
    daemon.methods["xend.domains_with_state"] = Alive(
        [prospero, ariel], [ending, ariel], [ending], [domain(None, "prospero")]
    )
    assert xm("shutdown", "-a", "-w") == (
        0,
        "Domain ariel terminated\nDomain prospero terminated\nAll domains terminated\n",
        "",
    )
    asked = [params for method, params in daemon.calls if method == "xend.domain.shutdown"]
    assert asked == [["prospero", "poweroff"], ["ariel", "poweroff"]]


@pytest.mark.usefixtures("no_sleep")
def test_shutdown_waits_for_no_domain_that_stays(
    xm: Run, daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Preserved by its policy, or made by somebody who does not look after it."""
    clock = iter(range(0, 10_000, 48))  # of 120 s that it waits for a teardown
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    kept = domain(7, "prospero", "---s--")
    daemon.methods["xend.domains_with_state"] = lambda *_: [[*kept, ["on_poweroff", "preserve"]]]
    assert xm("shutdown", "-w", "prospero")[0] == 0
    polls = len(daemon.calls)
    daemon.methods["xend.domains_with_state"] = lambda *_: [kept]
    assert xm("shutdown", "-w", "prospero")[0] == 0
    assert len(daemon.calls) == 2 * polls + 3


@pytest.mark.usefixtures("no_sleep")
def test_reboot_waits_for_another_restart_count(xm: Run, daemon: FakeDaemon) -> None:
    counts = iter([0, 0, 1])
    daemon.methods["xend.domain.getRestartCount"] = lambda _name: next(counts)
    daemon.methods["xend.domains"] = Alive(["prospero"], [], ["prospero"])
    assert xm("reboot", "-w", "prospero")[1] == "Domain prospero rebooted\nAll domains rebooted\n"


@pytest.mark.usefixtures("no_sleep")
def test_reboot_gives_up(xm: Run, daemon: FakeDaemon) -> None:
    daemon.methods["xend.domains"] = lambda *_: []
    assert xm("reboot", "-w", "prospero")[1] == (
        "Domain prospero destroyed for failing to reboot\nAll domains rebooted\n"
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-H", "-R", "prospero"], "Can't specify halt and reboot"),
        (["prospero", "ariel"], "No multiple domain parameters allowed"),
        (["-w"], "No domain parameter given"),
    ],
)
def test_shutdown_called_wrongly(xm: Run, words: list[str], message: str) -> None:
    assert xm("shutdown", *words) == (1, "", f"Error: {message}\n")


def test_console_without_a_domain_that_runs(xm: Run) -> None:
    status, out, err = xm("console", "gonzalo")
    assert (status, err) == (1, "Error: Domain 'gonzalo' is not started\n")
    assert out.startswith("Usage: xm console ")
    assert xm("console", "-q", "gonzalo") == (1, "", "")
    assert xm("console", "-q", "nosuch") == (1, "", "")


def test_numbers_print_as_python_2_did() -> None:
    shown: list[tuple[Any, str]] = [
        (1.0, "1.0"),
        (0.1 + 0.2, "0.3"),
        (1e20, "1e+20"),
        (123456789.123456, "123456789.123"),
        (True, "True"),
        (None, "None"),
        (["a", 1, ["b"]], "['a', 1, ['b']]"),
    ]
    for value, text in shown:
        assert text_of(value) == text


def test_fields_take_the_first_of_several() -> None:
    assert fields(["domain", ["a", 1], ["a", 2], ["b", 3]]) == {"a": 1, "b": 3}
    assert fields(["domain", ["a", 1], ["a", 2], "x", ["b"], ["c", 1, 2]]) == {"a": 1, "c": 1}


def test_save_and_restore_look_at_the_file_first(
    xm: Run, daemon: FakeDaemon, tmp_path: Path
) -> None:
    assert xm("save", "prospero", "/nosuch/x") == (
        1,
        "",
        "Error: xm save: Unable to create file /nosuch/x\n",
    )
    assert xm("restore", "/nosuch/x") == (
        1,
        "",
        "Error: xm restore: Unable to read file /nosuch/x\n",
    )
    assert daemon.calls == []
    (tmp_path / "chk").touch()
    assert xm("restore", "-p", str(tmp_path / "chk"))[0] == 0
    assert daemon.calls == [("xend.domain.restore", [str(tmp_path / "chk"), True])]
