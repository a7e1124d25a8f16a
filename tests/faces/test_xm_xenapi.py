"""xm with a Xen-API server: which calls each command makes, what it shows, how it fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faces.xenapiserver import SESSION, FakeXenApi, Raw, XenApiError
from tests.faces.xmdaemon import Commands, Run, WarmSide, build_launcher, plain_argv
from xend.cli.main import personality

Xm = Callable[..., tuple[int, str, str]]
WEB = "vm-web"
LOGIN, LOGOUT = "session.login_with_password", "session.logout"
HEADER = "Name                                        ID   Mem VCPUs      State   Time(s)\n"


@pytest.fixture(autouse=True)
def _loop_never_blocked() -> None:
    """No event loop runs here."""


def vm(domid: int, name: str, state: str = "Running", **more: Any) -> dict[str, Any]:
    return {
        "uuid": f"vm-{name}",
        "domid": str(domid),
        "name_label": name,
        "metrics": f"m-{name}",
        "power_state": state,
        "pool_name": "Pool-0",
        "VCPUs_max": "2",
        "is_control_domain": domid == 0,
        **more,
    }


def metrics(state: list[str], *seconds: float, mib: int = 64) -> dict[str, Any]:
    return {
        "memory_actual": str(mib << 20),
        "VCPUs_number": "2",
        "VCPUs_utilisation": {str(n): value for n, value in enumerate(seconds)},
        "VCPUs_CPU": {"0": "1", "1": "0"},
        "VCPUs_flags": {"0": ["online", "running"], "1": ["blocked"]},
        "VCPUs_params": {"cpumap0": "0,1", "cpumap1": "1", "weight": "256", "cap": "0"},
        "state": state,
        "start_time": "20140512T14:56:55",
    }


@pytest.fixture
def api(tmp_path: Path) -> Iterator[FakeXenApi]:
    server = FakeXenApi(
        tmp_path / "xen-api.sock",
        VM={
            "vm-Domain-0": vm(0, "Domain-0"),
            WEB: vm(7, "web"),
            "vm-off": vm(-1, "off", "Halted"),
        },
        VM_metrics={
            "m-Domain-0": metrics(["running"], 8.0, 4.0, mib=512),
            "m-web": metrics(["running", "blocked"], 1.5, 0.5),
            "m-off": metrics([]),
        },
        host={
            "host1": {
                "name_label": "old",
                "metrics": "hm",
                "host_CPUs": ["c0", "c1"],
                "sched_policy": "credit",
                "capabilities": ["xen-3.0-x86_64", "hvm-3.0-x86_64"],
                "software_version": {"release": "3.2", "xen_major": "4"},
                "cpu_configuration": {"nr_cpus": 2},
                "other_config": {"xen_pagesize": "4096"},
                "log": "a log\n",
            }
        },
        host_cpu={
            "c0": {
                "uuid": "c0",
                "number": "0",
                "speed": "2000",
                "features": "f",
                "cpu_pool": ["p"],
            },
            "c1": {"uuid": "c1", "number": "1", "speed": "1000", "features": "f", "cpu_pool": []},
        },
        host_metrics={"hm": {"memory_total": str(2 << 30), "memory_free": str(1 << 30)}},
    )
    yield server
    server.close()


def config_of(folder: Path, password: str = "secret", path: str | None = None) -> Path:
    place = path or str(folder / "xen-api.sock")
    file = folder / "xm-config.xml"
    file.write_text(
        f'<xm><server type="Xen-API" uri="httpu://{place}" username="root" '
        f'password="{password}"/></xm>'
    )
    return file


@pytest.fixture
def xm(tmp_path: Path, api: FakeXenApi) -> Run:
    return Run(tmp_path, {"XM_CONFIG_FILE": str(config_of(tmp_path)), "TZ": "UTC"})


# ---- what commands call ----

GET_WEB = ["VM.get_by_name_label", "web"]
MIB = 1 << 20
MIGRATION = {"port": 8002, "node": -1, "ssl": None, "change_home_server": 0}
NETWORK = {
    "name_label": "br0",
    "name_description": "",
    "other_config": {},
    "default_gateway": "",
    "default_netmask": "",
}
CALLS: dict[str, list[list[Any]]] = {
    "pause web": [GET_WEB, ["VM.pause", WEB], GET_WEB, ["VM.set_pauseflag", WEB, True]],
    "unpause web": [GET_WEB, ["VM.unpause", WEB], GET_WEB, ["VM.set_pauseflag", WEB, False]],
    "destroy web": [GET_WEB, ["VM.hard_shutdown", WEB]],
    "delete web": [GET_WEB, ["VM.destroy", WEB]],
    "suspend web": [GET_WEB, ["VM.suspend", WEB]],
    "resume -p web": [GET_WEB, ["VM.resume", WEB, True]],
    "reset web": [GET_WEB, ["VM.hard_reboot", WEB]],
    "rename web www": [GET_WEB, ["VM.set_name_label", WEB, "www"]],
    "sysrq web s": [GET_WEB, ["VM.send_sysrq", WEB, "s"]],
    "trigger web nmi 1": [GET_WEB, ["VM.send_trigger", WEB, "nmi", 1]],
    "save -c web /tmp/x": [GET_WEB, ["VM.save", WEB, "/tmp/x", True]],
    "restore -p /proc/version": [["VM.restore", "/proc/version", True]],
    "start -p web": [GET_WEB, ["VM.start", WEB, True], GET_WEB, ["VM.get_domid", WEB]],
    "shutdown web": [GET_WEB, ["VM.clean_shutdown", WEB]],
    "shutdown -H web": [GET_WEB, ["VM.clean_shutdown", WEB]],
    "reboot web": [GET_WEB, ["VM.clean_reboot", WEB]],
    "vcpu-set web 2": [GET_WEB, ["VM.set_VCPUs_number_live", WEB, 2]],
    "vcpu-pin web 1 0-2,^1": [GET_WEB, ["VM.add_to_VCPUs_params_live", WEB, "cpumap1", "0,2"]],
    "mem-max web 300": [GET_WEB, ["VM.set_memory_static_max", WEB, 300 * MIB]],
    "mem-set web 3g": [
        *[GET_WEB, ["VM.set_memory_dynamic_max_live", WEB, str(3072 * MIB)]],
        *[GET_WEB, ["VM.set_memory_dynamic_min_live", WEB, str(3072 * MIB)]],
    ],
    "migrate -l -p 8002 web there": [
        GET_WEB,
        ["VM.migrate", WEB, "there", True, MIGRATION],
    ],
    "debug-keys h": [["host.send_debug_keys", "host1", "h"]],
    "network-new br0": [
        ["network.create", NETWORK],
    ],
    "dump-core web /tmp/core": [["xend.domain.dump"]],
    "usb-add web host:1.2": [["xend.domain.usb_add"]],
    "block-configure web phy:/dev/x xvdb w": [["xend.domain.device_configure"]],
}


@pytest.mark.parametrize("line", CALLS)
def test_calls(api: FakeXenApi, xm: Xm, line: str) -> None:
    api.objects["network"] = {}
    status, _, err = xm(*line.split())
    wanted = CALLS[line]
    said = [call[:1] if call[0].startswith("xend.") else call for call in api.said()]
    assert (status, err, said) == (0, "", wanted)
    called = api.called()
    assert (called[0], called[-1]) == (LOGIN, LOGOUT)
    assert api.calls[0][1] == ["root", "secret"]
    assert all(params[0] == SESSION for method, params in api.calls[1:] if method[:5] != "xend.")


def test_a_domain_by_its_id(api: FakeXenApi, xm: Xm) -> None:
    assert xm("domid", "7") == (0, "7\n", "")
    assert xm("domname", "7") == (0, "web\n", "")
    status, out, err = xm("domid", "8")
    assert (status, err) == (1, "Error: Domain '8' not found.\n")
    assert out.startswith("Usage: xm domid <DomainName>\n")


def test_all_are_shut_down_but_the_host(api: FakeXenApi, xm: Xm) -> None:
    api.methods["VM.clean_shutdown"] = lambda _session, ref: api.objects["VM"][ref].update(
        power_state="Halted"
    )
    assert xm("shutdown", "-a", "-w") == (
        0,
        "Domain vm-web terminated\nDomain vm-off terminated\nAll domains terminated\n",
        "",
    )
    assert xm("reboot", "-w", "web") == (
        1,
        "",
        "Error: Cannot wait for reboot w/ XenAPI (yet)\n",
    )
    assert xm("shutdown")[0] == 1
    assert xm("shutdown", "-H", "-R", "web") == (1, "", "Error: Can't specify halt and reboot\n")


# ---- what they show ----


def test_list(xm: Xm) -> None:
    dom0 = "Domain-0                                     0   512     2     r-----      6.0\n"
    web = "web                                          7    64     2     rb----      1.0\n"
    off = "off                                         -1    64     2     ------      0.0\n"
    assert xm("list") == (0, HEADER + dom0 + web + off, "")
    assert xm("list", "web", "nosuch") == (0, HEADER + web, "")
    assert xm("list", "--state=halted") == (0, HEADER + off, "")
    assert xm("list", "--pool=other") == (0, HEADER, "")
    assert xm("list", "nosuch") == (255, "Error: no domain named nosuch\n", "")
    assert xm("list", "a", "b") == (255, "Error: no domains named a, b\n", "")
    assert '"name": "web"' in xm("list", "--json", "web")[1]
    status, out, _ = xm("list", "-l", "web")
    assert status == 0
    assert "    (name_label web)\n" in out
    assert "    (memory 64)\n" in out
    assert xm("list", "--label", "web")[1].splitlines()[1].startswith("web ")


def test_uptime_and_state(xm: Xm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: 1400000000.0)
    assert xm("uptime", "web") == (
        0,
        f"{'Name':<33s} {'ID':>4s} Uptime \n{'web':<32s} {'7':>5s} 1 day,  1:56:25\n",
        "",
    )
    assert xm("domstate", "web") == (0, "idle\n", "")


def test_vcpus(xm: Xm) -> None:
    status, out, err = xm("vcpu-list")
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert len(lines) == 5  # none of the domain that does not run
    assert lines[3].split() == ["web", "7", "0", "1", "r--", "1.5", "any", "cpu"]
    assert lines[4].split() == ["web", "7", "1", "-", "--p", "0.5", "1"]


def test_shares(api: FakeXenApi, xm: Xm) -> None:
    status, out, _ = xm("sched-credit", "-d", "web")
    assert (status, out.splitlines()[1].split()) == (0, ["web", "7", "256", "0"])
    api.calls.clear()
    assert xm("sched-credit", "-d", "web", "-w", "512") == (0, "", "")
    assert ["VM.add_to_VCPUs_params_live", WEB, "weight", 512] in api.said()
    assert not [call for call in api.said() if "cap" in call]
    assert xm("sched-credit", "-d", "off", "-c", "5") == (0, "", "")
    assert ["VM.add_to_VCPUs_params", "vm-off", "cap", 5] in api.said()
    assert xm("sched-credit2") == (1, "", "Error: Xen is running with the credit scheduler\n")


def test_the_host(api: FakeXenApi, xm: Xm) -> None:
    status, out, err = xm("info")
    assert (status, err) == (0, "")
    lines = dict(line.split(":", 1) for line in out.splitlines())
    names = [name.strip() for name in lines]
    assert names == sorted(names, reverse=True)
    found = {name.strip(): value.strip() for name, value in lines.items()}
    assert (found["nr_cpus"], found["cpu_mhz"], found["free_cpus"]) == ("2", "1500", "1")
    assert (found["total_memory"], found["free_memory"]) == ("2048", "1024")
    assert found["xen_caps"] == "xen-3.0-x86_64 hvm-3.0-x86_64"
    assert (found["host"], found["version"]) == ("old", "")
    assert xm("log") == (0, "a log\n\n", "")
    api.methods["host.dmesg"] = lambda _session, _host: "(XEN) here\n"
    api.methods["host.dmesg_clear"] = lambda _session, _host: "(XEN) gone"
    assert xm("dmesg") == (0, "(XEN) here\n", "")
    assert xm("dmesg", "-c") == (0, "(XEN) gone\n", "")


def test_networks(api: FakeXenApi, xm: Xm) -> None:
    api.objects |= {
        "network": {"n1": {"name_label": "br0", "VIFs": ["v1"], "PIFs": ["p1", "p2"]}},
        "PIF": {"p1": {"device": "eth0", "VLAN": "-1"}, "p2": {"device": "eth1", "VLAN": "5"}},
        "VIF": {"v1": {"VM": WEB, "device": "eth0"}},
    }
    status, out, _ = xm("network-show")
    assert status == 0
    assert [line.split() for line in out.splitlines()] == [
        ["Name", "VIFs", "PIFs"],
        ["br0", "web.eth0", "eth0"],
        ["eth1.5"],
    ]
    assert xm("network-del", "br7") == (1, "", "Error: Network br7 doesn't exist\n")
    assert xm("network-del", "br0") == (0, "", "")
    assert api.objects["network"] == {}
    assert xm("network-del")[0] == 1
    assert xm("network-show", "x")[0] == 1


def test_events(api: FakeXenApi, xm: Xm) -> None:
    events = iter([[{"class": "VM"}], []])

    def more(_session: str) -> Any:
        found = next(events, None)
        if found is None:
            raise XenApiError("SESSION_NOT_REGISTERED", "VM")
        return found

    api.methods |= {"event.register": lambda *_: "", "event.next": more}
    status, out, err = xm("event-monitor", "VM")
    assert (status, out) == (1, "{'class': 'VM'}\n")
    assert err == "\nXen-API failure: ['SESSION_NOT_REGISTERED', 'VM']\n\n"
    assert api.calls[1] == ["event.register", [SESSION, ["VM"]]]


def test_pools(api: FakeXenApi, xm: Xm, tmp_path: Path) -> None:
    api.objects["cpu_pool"] = {
        "p": {
            "uuid": "p",
            "name_label": "Pool-0",
            "sched_policy": "credit",
            "activated": True,
            "ncpu": 1,
            "started_VMs": [WEB],
            "host_CPUs": ["c0"],
            "other_config": {},
        }
    }
    assert xm("cpupool-list") == (
        0,
        "Name               CPUs   Sched     Active   Domain count\n"
        "Pool-0               1    credit       y          1\n",
        "",
    )
    assert xm("cpupool-list", "-c")[1].splitlines()[1] == "Pool-0           0"
    api.calls.clear()
    for command in ("start", "destroy"):
        assert xm(f"cpupool-{command}", "Pool-0") == (0, "", "")
    assert xm("cpupool-cpu-add", "Pool-0", "1") == (0, "", "")
    assert xm("cpupool-cpu-remove", "Pool-0", "1") == (0, "", "")
    assert xm("cpupool-migrate", "web", "Pool-0") == (0, "", "")
    called = [call for call in api.said() if ".get_" not in call[0]]
    assert called == [
        ["cpu_pool.activate", "p"],
        ["cpu_pool.deactivate", "p"],
        ["cpu_pool.add_host_CPU_live", "p", "c1"],
        ["cpu_pool.remove_host_CPU_live", "p", "c1"],
        ["VM.cpu_pool_migrate", WEB, "p"],
    ]
    assert xm("cpupool-start", "x") == (1, "", "Error: unknown pool name\n")
    assert xm("cpupool-cpu-add", "Pool-0", "9") == (1, "", "Error: cpu number unknown\n")
    file = tmp_path / "pool"
    file.write_text('name = "new"\nsched = "credit"\ncpus = ["1"]\n')
    assert xm("cpupool-create", str(file)) == (0, f'Using config file "{file}".\n', "")
    assert api.objects["cpu_pool"]["cpu_pool-1"] == {
        "name_label": "new",
        "sched_policy": "credit",
        "ncpu": 1,
        "proposed_CPUs": [1],
    }
    assert api.said()[-1] == ["cpu_pool.activate", "cpu_pool-1"]
    assert xm("cpupool-delete", "new") == (0, "", "")
    assert list(api.objects["cpu_pool"]) == ["p"]


# ---- what goes wrong ----


@pytest.mark.parametrize("command", ["sched-sedf", "usb-list", "network2-list", "vnet-list"])
def test_what_it_cannot(api: FakeXenApi, xm: Xm, command: str) -> None:
    """However wrong the rest of the line is."""
    assert xm(command) == (1, "", "Error: This function is not supported by Xen-API\n")
    assert api.called() == [LOGIN, LOGOUT]
    assert xm("serve", "x") == (255, "Not supported with XenAPI\n", "")


def test_a_wrong_password(tmp_path: Path, api: FakeXenApi) -> None:
    run = Run(tmp_path, {"XM_CONFIG_FILE": str(config_of(tmp_path, "guess"))})
    assert run("list") == (1, "", "\nPermission denied.\n\n")
    assert api.called() == [LOGIN]


def test_no_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    run = Run(tmp_path, {"XM_CONFIG_FILE": str(config_of(tmp_path))})
    text = "Error: Unable to connect to xend: No such file or directory. Is xend running?\n"
    assert run("list") == (1, "", text)
    assert run("sched-sedf") == (1, "", text)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    text = "Error: Most commands need root access. Please try again as root.\n"
    assert run("list") == (1, "", text)


def test_no_uri(tmp_path: Path) -> None:
    file = tmp_path / "xm-config.xml"
    file.write_text('<xm><server type="Xen-API"/></xm>')
    status, out, err = Run(tmp_path, {"XM_CONFIG_FILE": str(file)})("list")
    assert (status, out) == (1, "")
    assert err.startswith("Error: unsupported XML-RPC protocol in ''")


def test_an_unknown_method(api: FakeXenApi, xm: Xm) -> None:
    del api.objects["VM"]
    text = "\nThe method VM.get_by_name_label is unsupported.\n\n"
    assert xm("pause", "web") == (1, "", text)
    assert api.called()[-1] == LOGOUT


REPLIES: dict[str, tuple[Any, str]] = {
    "text": ("hello", "Error: Missing Status in response from server: hello\n"),
    "list": ([1], "Error: Missing Status in response from server: [1]\n"),
    "nothing": (None, "Error: Missing Status in response from server: None\n"),
    "no status": ({"Value": 1}, "Error: Missing Status in response from server: {'Value': 1}\n"),
    "no value": ({"Status": "Success"}, "Error: Missing Value in response from server\n"),
    "no reason": (
        {"Status": "Failure"},
        "Error: Missing ErrorDescription in response from server\n",
    ),
    "an empty reason": (
        {"Status": "Failure", "ErrorDescription": []},
        "\nXen-API failure: []\n\n",
    ),
    "a word": (
        {"Status": "Failure", "ErrorDescription": "x"},
        "\nXen-API failure: ['x']\n\n",
    ),
    "too few words": (
        {"Status": "Failure", "ErrorDescription": ["HANDLE_INVALID", "VM"]},
        "\nXen-API failure: ['HANDLE_INVALID', 'VM']\n\n",
    ),
    "a count": (
        {
            "Status": "Failure",
            "ErrorDescription": ["MESSAGE_PARAMETER_COUNT_MISMATCH", "VM.pause", "2", "3"],
        },
        "\nThe method VM.pause takes 1 argument(s) (2 given).\n\n",
    ),
    "a long one": (
        {
            "Status": "Failure",
            "ErrorDescription": ["INTERNAL_ERROR", "words " * 20],
        },
        f"\nInternal error: {'words ' * 9}words\n{'words ' * 10}.\n\n",
    ),
}


@pytest.mark.parametrize("kind", REPLIES)
def test_odd_replies(api: FakeXenApi, xm: Xm, kind: str) -> None:
    reply, text = REPLIES[kind]
    api.methods["VM.pause"] = lambda *_: Raw(reply)
    status, out, err = xm("pause", "web")
    assert (status, err) == (1, text)
    assert ("Usage: xm pause <Domain>" in out) == text.startswith("Error")


def test_odd_records(api: FakeXenApi, xm: Xm) -> None:
    del api.objects["VM"][WEB]["metrics"]
    status, _, err = xm("list")
    assert (status, err) == (1, "Error: xend's answer is not understood: KeyError: 'metrics'\n")


def test_a_session_that_has_ended(api: FakeXenApi, xm: Xm) -> None:
    """It logs in again, and gives up when that does not help."""
    lost = iter([True, False])

    def pause(session: str, _ref: str) -> str:
        if next(lost, False):
            raise XenApiError("SESSION_INVALID", session)
        return ""

    api.methods["VM.pause"] = pause
    assert xm("pause", "web") == (0, "", "")
    assert api.called()[:5] == [LOGIN, "VM.get_by_name_label", "VM.pause", LOGIN, "VM.pause"]
    api.valid.clear()
    status, _, err = xm("pause", "web")
    assert (status, err) == (1, "Error: Tried 3 times to get a valid session, but failed\n")


def test_wrong_calls_are_told_after_logging_in(api: FakeXenApi, xm: Xm) -> None:
    status, out, err = xm("pause")
    assert (status, err) == (1, "Error: 'xm pause' requires 1 arguments.\n\n")
    assert out.startswith("Usage: xm pause <Domain>\n")
    assert api.called() == [LOGIN, LOGOUT]


# ---- the ways to get there ----


def commands(tmp_path: Path, argv: list[str]) -> Commands:
    env = {
        "XM_CONFIG_FILE": str(config_of(tmp_path)),
        "XEND_RUN_DIR": str(tmp_path),
        "PATH": "/usr/bin:/bin",
    }
    return Commands(argv, env, tmp_path)


def test_a_shell_has_one_session(api: FakeXenApi, tmp_path: Path) -> None:
    file = tmp_path / "lines"
    file.write_text("domid web\nhost.get_log host1\nVM.nonsense\n\nnetwork2-list\n")
    with file.open() as lines:
        done = commands(tmp_path, plain_argv()).run("shell", stdin=lines)
    assert done.returncode == 0
    assert "xm> 7\nxm> 'a log\\n'\nxm> " in done.stdout
    assert "The method VM.nonsense is unsupported" not in done.stderr
    assert "HANDLE_INVALID" not in done.stdout
    assert "This function is not supported by Xen-API\n" in done.stderr
    assert [method for method in api.called() if method.startswith("session.")] == [LOGIN, LOGOUT]


CONSOLE = """#!/bin/sh
echo "console of $1"
"""


def test_consoles(api: FakeXenApi, tmp_path: Path) -> None:
    """Attached to one that runs, to one that is started, and to one that is made."""
    (tmp_path / "xenconsole").write_text(CONSOLE)
    (tmp_path / "xenconsole").chmod(0o755)
    run = commands(tmp_path, plain_argv())
    run.env["PATH"] = f"{tmp_path}:/usr/bin:/bin"
    run.env["XENSTORED_PATH"] = str(tmp_path / "none")  # This machine's, if it runs Xen.
    api.methods["VM.start"] = lambda _session, ref, _paused: api.objects["VM"][ref].update(
        domid="9"
    )
    file = tmp_path / "guest"
    file.write_text('name = "new"\nmemory = 64\nkernel = "/proc/version"\n')
    done = run.run("console", "web")
    assert (done.returncode, done.stdout, done.stderr) == (0, "console of 7\n", "")
    assert api.called()[-1] == LOGOUT
    done = run.run("start", "-c", "off")
    assert (done.returncode, done.stdout, done.stderr) == (0, "console of 9\n", "")
    done = run.run("create", "-c", str(file))
    assert (done.returncode, done.stderr) == (0, "")
    assert "console of 9\n" in done.stdout
    assert run.run("console", "-q", "nosuch").returncode == 1
    done = run.run("console", "nosuch")
    assert done.stderr == "Error: Domain 'nosuch' not found.\n"


def test_a_warm_process_leaves_it_to_the_callers(api: FakeXenApi, tmp_path: Path) -> None:
    build_launcher(tmp_path / "xm")
    warm = WarmSide(tmp_path, tmp_path / "xm")
    try:
        run = commands(tmp_path, [str(tmp_path / "xm")]).run
        done = run("domid", "web")
        assert (done.returncode, done.stdout, done.stderr) == (0, "7\n", "")
        assert run("pause", "web").returncode == 0
    finally:
        warm.close()
    assert api.called().count(LOGIN) == api.called().count(LOGOUT) == 2


def test_xl_does_not_speak_it(api: FakeXenApi, tmp_path: Path) -> None:
    file = config_of(tmp_path)
    run = Run(tmp_path, {"XM_CONFIG_FILE": str(file)}, personality("xl"))
    status, out, err = run("list")
    assert (status, out, api.calls) == (1, "", [])
    assert err.startswith(f"Error: {file} names a Xen-API server, httpu://{tmp_path}/xen-api.sock")
    assert '<server type="LegacyXMLRPC" uri="httpu:///var/run/xend/xmlrpc.sock"/>' in err
