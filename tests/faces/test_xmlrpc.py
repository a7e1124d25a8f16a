"""The old XML-RPC interface, through a client that is not ours, on a simulated host."""

from __future__ import annotations

import asyncio
import xmlrpc.client
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.faces.conftest import Host
from tests.faces.rawhttp import RawClient, post
from tests.faces.unixrpc import Xend, get, keys
from xend.api.xmlrpc.methods import METHODS
from xend.api.xmlrpc.unavailable import UNAVAILABLE


@pytest_asyncio.fixture
async def xend(host: Host) -> AsyncIterator[Xend]:
    client = Xend(host.xmlrpc)
    yield client
    client.close()


def vm(name: str, *more: list[Any], memory: int = 64) -> list[Any]:
    return [
        "vm",
        ["name", name],
        ["memory", memory],
        ["vcpus", 1],
        ["image", ["linux", ["kernel", "/boot/vmlinuz"]]],
        ["device", ["vbd", ["uname", f"phy:vg/{name}"], ["dev", "xvda"], ["mode", "w"]]],
        ["device", ["vif", ["mac", mac_of(name)], ["bridge", "xenbr0"]]],
        *more,
    ]


def mac_of(name: str) -> str:
    return f"00:16:3e:00:00:{len(name):02x}"


async def started(xend: Xend, name: str = "prospero") -> int:
    """As xm create does it."""
    domain = await xend("xend.domain.create", vm(name))
    await xend("xend.domain.waitForDevices", name)
    await xend("xend.domain.unpause", name)
    return int(get(domain, "domid"))


async def fault(xend: Xend, method: str, *params: Any) -> tuple[int, str]:
    with pytest.raises(xmlrpc.client.Fault) as caught:
        await xend(method, *params)
    return caught.value.faultCode, caught.value.faultString


async def test_domain_0_is_listed_with_its_memory_vcpus_and_time(xend: Xend) -> None:
    [domain] = await xend("xend.domains_with_state", True, "all", 0)
    assert domain[0] == "domain"
    assert (get(domain, "domid"), get(domain, "name")) == (0, "Domain-0")
    assert get(domain, "memory") == 1024
    assert get(domain, "online_vcpus") == 4
    assert get(domain, "cpu_time") > 0
    assert get(domain, "state") == "r-----"
    assert get(domain, "status") == 2


async def test_create_as_xm_does(xend: Xend) -> None:
    domain = await xend("xend.domain.create", vm("prospero"))
    assert get(domain, "state") == "--p---"
    assert get(domain, "status") == 1
    assert [child[1][0] for child in domain[1:] if child[0] == "device"] == ["vif", "vbd"]
    await xend("xend.domain.waitForDevices", "prospero")
    await xend("xend.domain.unpause", "prospero")
    short = await xend("xend.domain", "prospero")
    assert get(short, "status") == 2
    assert "device" not in keys(short)
    assert "device" in keys(await xend("xend.domain", "prospero", 1))


async def test_a_domain_is_found_by_name_number_text_and_uuid(xend: Xend) -> None:
    domid = await started(xend)
    uuid = get(await xend("xend.domain", "prospero"), "uuid")
    for reference in (domid, str(domid), uuid, uuid.upper()):
        assert get(await xend("xend.domain", reference), "name") == "prospero"


async def test_lists_are_sorted_by_name_and_filtered_by_state(xend: Xend) -> None:
    for name in ("stephano", "caliban"):
        await started(xend, name)
    await xend("xend.domain.pause", "stephano")
    assert await xend("xend.domains_with_state", False, "all", False) == [
        "Domain-0",
        "caliban",
        "stephano",
    ]
    assert await xend("xend.domains_with_state", False, "paused", False) == ["stephano"]
    assert await xend("xend.domains_with_state", False, "Running", False) == ["Domain-0", "caliban"]
    assert await xend("xend.domains_with_state", False, "nonsense", False) == []
    assert await xend("xend.domains", 0) == ["Domain-0", "caliban"]
    assert [get(d, "name") for d in await xend("xend.domains")] == ["Domain-0", "caliban"]


async def test_pause_and_its_flag(xend: Xend) -> None:
    await started(xend)
    assert await xend("xend.domain.pause", "prospero", True) == 2
    assert await xend("xend.domain.pause", "prospero", True) == 1
    assert await xend("xend.domain.pause", "prospero") is None
    assert await xend("xend.domain.getpauseflag", "prospero") is False
    await xend("xend.domain.setpauseflag", "prospero", True)
    assert await xend("xend.domain.getpauseflag", "prospero") is True
    await xend("xend.domain.unpause", "prospero")
    assert get(await xend("xend.domain", "prospero"), "status") == 2


async def test_pause_flag_of_nobody_is_no_fault(xend: Xend) -> None:
    assert await xend("xend.domain.setpauseflag", "nobody", True) is None


async def test_destroy(xend: Xend) -> None:
    await started(xend)
    await xend("xend.domain.destroy", "prospero")
    assert await fault(xend, "xend.domain", "prospero") == (3, "prospero")
    assert await fault(xend, "xend.domain.destroy", "prospero") == (3, "prospero")
    code, text = await fault(xend, "xend.domain.destroy", "99")
    assert code == 2 and "99" in text


async def test_shutdown_and_its_reasons(xend: Xend) -> None:
    await started(xend)
    code, text = await fault(xend, "xend.domain.shutdown", "prospero", "tea")
    assert (code, text) == (2, "Invalid reason: tea")
    assert (await fault(xend, "xend.domain.shutdown", "0", "halt"))[0] == 2
    await xend("xend.domain.shutdown", "prospero", "poweroff")
    for _ in range(100):
        if await xend("xend.domains_with_state", False, "all", 0) == ["Domain-0"]:
            return
        await asyncio.sleep(0.02)
    pytest.fail("the domain did not go away")


async def test_rename(xend: Xend) -> None:
    await started(xend)
    await started(xend, "caliban")
    await xend("xend.domain.setName", "prospero", "ariel")
    assert get(await xend("xend.domain", "ariel"), "name") == "ariel"
    assert await fault(xend, "xend.domain", "prospero") == (3, "prospero")
    for bad in ("", "a b", "caliban"):
        assert (await fault(xend, "xend.domain.setName", "ariel", bad))[0] == 2


async def test_vcpu_info(xend: Xend) -> None:
    domid = await started(xend)
    info = await xend("xend.domain.getVCPUInfo", "prospero")
    assert info[:4] == ["domain", ["domid", domid], ["name", "prospero"], ["vcpu_count", 1]]
    [vcpu] = info[4:]
    assert keys(vcpu) == ["number", "online", "blocked", "running", "cpu_time", "cpu", "cpumap"]
    assert isinstance(get(vcpu, "cpu_time"), float)
    assert get(vcpu, "cpumap") == [0, 1, 2, 3]


async def test_vcpu_info_of_a_halted_domain(xend: Xend) -> None:
    await xend("xend.domain.new", vm("gonzalo"))
    info = await xend("xend.domain.getVCPUInfo", "gonzalo")
    assert get(info, "domid") is None
    assert get(info[4], "cpu") == -1
    assert get(info[4], "cpumap") == list(range(64))


async def test_devices_of_a_running_domain(xend: Xend) -> None:
    await started(xend)
    [[devid, pairs]] = await xend("xend.domain.getDeviceSxprs", "prospero", "vbd")
    assert devid == 51712
    assert all(isinstance(value, str) for pair in pairs for value in pair)
    assert {"backend", "backend-id", "state"} <= {pair[0] for pair in pairs}
    [[devid, pairs]] = await xend("xend.domain.getDeviceSxprs", "prospero", "vif")
    assert devid == 0
    assert ["mac", mac_of("prospero")] in pairs
    assert await xend("xend.domain.getDeviceSxprs", "prospero", "pci") == []
    code, text = await fault(xend, "xend.domain.getDeviceSxprs", "prospero", "teapot")
    assert (code, text) == (2, "Unknown device type: teapot")


async def test_devices_of_a_halted_domain(xend: Xend) -> None:
    await xend("xend.domain.new", vm("gonzalo"))
    [[devid, device]] = await xend("xend.domain.getDeviceSxprs", "gonzalo", "vbd")
    assert devid == 51712
    assert device[0] == "vbd" and get(device, "uname") == "phy:vg/gonzalo"


async def test_block_device_class(xend: Xend) -> None:
    await started(xend)
    for name in ("xvda", "51712"):
        assert await xend("xend.domain.getBlockDeviceClass", "prospero", name) == "vbd"
    assert await xend("xend.domain.getBlockDeviceClass", "prospero", "xvdz") is None


async def test_restart_count(xend: Xend) -> None:
    await started(xend)
    await xend("xend.domain.new", vm("gonzalo"))
    assert await xend("xend.domain.getRestartCount", "prospero") == "0"
    assert await xend("xend.domain.getRestartCount", "gonzalo") is None


async def test_life_of_a_managed_domain(xend: Xend) -> None:
    await xend("xend.domain.new", vm("gonzalo"))
    assert await xend("xend.domains_with_state", False, "halted", 0) == ["gonzalo"]
    await xend("xend.domain.start", "gonzalo", False)
    code, text = await fault(xend, "xend.domain.start", "gonzalo", False)
    assert (code, text) == (2, "Domain is already running")
    assert await fault(xend, "xend.domain.delete", "gonzalo") == (2, "Domain is not halted.")
    await xend("xend.domain.destroy", "gonzalo")
    await xend("xend.domain.delete", "gonzalo")
    assert await fault(xend, "xend.domain.delete", "gonzalo") == (2, "<Fault 3: 'gonzalo'>")
    assert await fault(xend, "xend.domain.start", "gonzalo") == (3, "gonzalo")
    code, text = await fault(xend, "xend.domain.resume", "gonzalo")
    assert (code, text) == (2, "Error occurred when resuming: <Fault 3: 'gonzalo'>")


async def test_memory_vcpus_and_scheduler(xend: Xend) -> None:
    await started(xend)
    await xend("xend.domain.setMemoryTarget", "prospero", 48)
    assert await xend("xend.domain.pincpu", "prospero", "0", "1,2") == 0
    info = await xend("xend.domain.getVCPUInfo", "prospero")
    assert get(info[4], "cpumap") == [1, 2]
    assert (await fault(xend, "xend.domain.pincpu", "prospero", "x", "1"))[0] == 2
    assert (await fault(xend, "xend.domain.setVCpuCount", "prospero", 0))[0] == 2
    assert await xend("xend.domain.sched_credit_set", "prospero", 512, None) == 0
    assert await xend("xend.domain.sched_credit_get", "prospero") == {"weight": 512, "cap": 0}
    assert await xend("xend.domain.sched_credit2_get", "prospero") == {"weight": 512}
    code, text = await fault(xend, "xend.domain.sched_credit_set", "prospero", 70000, None)
    assert code == 2 and text.startswith("Cpu weight out of range")


async def test_devices_come_and_go(xend: Xend) -> None:
    await started(xend)
    disk = ["vbd", ["uname", "phy:vg/b"], ["dev", "xvdb"], ["mode", "w"]]
    await xend("xend.domain.device_create", "prospero", disk)
    found = await xend("xend.domain.getDeviceSxprs", "prospero", "vbd")
    assert [devid for devid, _ in found] == [51712, 51728]
    await xend("xend.domain.destroyDevice", "prospero", "vbd", "xvdb", None, True)
    assert len(await xend("xend.domain.getDeviceSxprs", "prospero", "vbd")) == 1
    code, _text = await fault(xend, "xend.domain.destroyDevice", "prospero", "vbd", "xvdb")
    assert code == 2


async def test_save_and_restore(xend: Xend, host: Host) -> None:
    await started(xend)
    path = str(host.run / "p.save")
    assert (await fault(xend, "xend.domain.save", "prospero", "p.save", False))[0] == 2
    await xend("xend.domain.save", "prospero", path, False)
    assert await fault(xend, "xend.domain", "prospero") == (3, "prospero")
    domain = await xend("xend.domain.restore", path, True)
    assert get(domain, "name") == "prospero"
    assert get(domain, "status") == 1


async def test_migration_refuses_in_the_original_words(xend: Xend) -> None:
    await started(xend)
    await xend("xend.domain.new", vm("gonzalo"))
    arguments = ["localhost", 1, 1, -1, None, 0]
    assert await fault(xend, "xend.domain.migrate", "nobody", *arguments) == (3, "nobody")
    code, text = await fault(xend, "xend.domain.migrate", "Domain-0", *arguments)
    assert (code, text) == (2, "Cannot migrate privileged domain Domain-0")
    code, text = await fault(xend, "xend.domain.migrate", "gonzalo", *arguments)
    assert (code, text) == (2, "Domain is not running")
    home = [*arguments[:-1], 1]
    code, text = await fault(xend, "xend.domain.migrate", "prospero", *home)
    assert (code, text) == (2, "Domain is not a managed domain")
    code, text = await fault(xend, "xend.domain.migrate", "prospero", *arguments)
    assert code == 2 and text.startswith("can't connect: ")
    assert get(await xend("xend.domain", "prospero"), "status") == 2


async def test_node_info_has_the_original_order(xend: Xend) -> None:
    pairs = await xend("xend.node.info", 0)
    names = [name for name, _ in pairs]
    assert names[:15] == [
        "system",
        "host",
        "release",
        "version",
        "machine",
        "nr_cpus",
        "nr_nodes",
        "cores_per_socket",
        "threads_per_core",
        "cpu_mhz",
        "hw_caps",
        "virt_caps",
        "total_memory",
        "free_memory",
        "free_cpus",
    ]
    assert names[15:] == [
        "xen_major",
        "xen_minor",
        "xen_extra",
        "xen_caps",
        "xen_scheduler",
        "xen_pagesize",
        "platform_params",
        "xen_changeset",
        "xen_commandline",
        "cc_compiler",
        "cc_compile_by",
        "cc_compile_domain",
        "cc_compile_date",
        "xend_config_format",
    ]
    assert dict(pairs)["total_memory"] == 8192
    assert dict(pairs)["xend_config_format"] == 4


async def test_node_info_with_numa(xend: Xend) -> None:
    pairs = await xend("xend.node.info")
    names = [name for name, _ in pairs]
    assert names[15:17] == ["cpu_topology", "numa_info"]
    assert dict(pairs)["cpu_topology"].startswith("\ncpu:")


async def test_dmesg_and_log_are_escaped_once(xend: Xend, host: Host) -> None:
    host.log.write_text('[now] INFO (x:1) it\'s "quoted"\n')
    assert await xend("xend.node.log") == '[now] INFO (x:1) it\\\'s "quoted"\\n'
    assert "simulated" in await xend("xend.node.dmesg.info")
    assert "simulated" in await xend("xend.node.dmesg.clear")
    assert await xend("xend.node.dmesg.info") == "\\n"
    await xend("xend.node.send_debug_keys", "q")


async def test_unknown_method_is_a_success_that_says_failure(xend: Xend) -> None:
    """So it was, and old clients look for exactly this."""
    for name in ("xend_vnets", "xend.security.on", "nonsense"):
        assert await xend(name) == {
            "Status": "Failure",
            "ErrorDescription": ["MESSAGE_METHOD_UNKNOWN", name],
        }


@pytest.mark.parametrize("method", sorted(UNAVAILABLE))
async def test_what_xen_dropped_says_so(xend: Xend, method: str) -> None:
    code, text = await fault(xend, method, 1)
    assert code == 2
    assert "Use instead" in text


LOOKUPS = ("xend.domain.lookup", "xend.domain.lookup_nr")


async def test_lookups_tell_only_whether_it_is_there(xend: Xend) -> None:
    """What they found was an object of the old server, which could not be sent."""
    for method in LOOKUPS:
        code, text = await fault(xend, method, "Domain-0")
        assert (code, text[:15]) == (1, "cannot marshal ")
    assert await fault(xend, "xend.domain.lookup", "nobody") == (3, "nobody")
    assert await xend("xend.domain.lookup_nr", "nobody") is None


async def test_introspection(xend: Xend) -> None:
    names = await xend("system.listMethods")
    assert names == sorted(names)
    assert {*METHODS, *UNAVAILABLE} <= set(names)
    assert "Use instead" in await xend("system.methodHelp", "xend.node.tmem_list")
    assert "xend.domain.pause(dom, state)" in await xend("system.methodHelp", "xend.domain.pause")
    assert await xend("system.methodHelp", "nonsense") == ""
    assert await xend("system.methodSignature", "xend.domain") == "signatures not supported"


@pytest.mark.parametrize(
    ("method", "params", "text"),
    [
        ("xend.domain", (), "domain() takes at least 1 argument (0 given)"),
        ("xend.domain", ("a", 1, 2), "domain() takes at most 2 arguments (3 given)"),
        ("xend.domain.unpause", (), "unpause() takes exactly 1 argument (0 given)"),
        ("xend.node.dmesg.info", (1,), "info() takes exactly 0 arguments (1 given)"),
    ],
)
async def test_wrong_argument_count_is_fault_1(
    xend: Xend, method: str, params: tuple[Any, ...], text: str
) -> None:
    assert await fault(xend, method, *params) == (1, text)


@pytest.mark.parametrize("method", sorted(METHODS))
async def test_junk_arguments_never_break_it(xend: Xend, method: str) -> None:
    """Whatever comes, it is a result or a fault that says something; never an internal error."""
    count = len(METHODS[method].parameters)
    junks: list[Any] = [None, [], {}, "nobody", -1, 3.5, True, "x" * 5000, ["vm"], ["vm", ["name"]]]
    for junk in junks:
        try:
            await xend(method, *[junk] * count)
        except xmlrpc.client.Fault as error:
            allowed = (1, 2, 3) if method in LOOKUPS else (2, 3)
            assert error.faultCode in allowed, (junk, error.faultString)
            assert error.faultString
    assert "Domain-0" in await xend("xend.domains_with_state", False, "all", 0)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not xml",
        b"<methodCall></methodCall>",
        b"<?xml version='1.0'?><!DOCTYPE x [<!ENTITY a 'b'>]><methodCall><methodName>&a;"
        b"</methodName></methodCall>",
        b"<methodCall><methodName>x</methodName><params><param><value><int>z</int></value>"
        b"</param></params></methodCall>",
        b"<methodCall><methodName>x</methodName><params>"
        + b"<param><value>"
        + b"<array><data><value>" * 70
        + b"</value></data></array>" * 70
        + b"</value></param></params></methodCall>",
        b"<methodCall><methodName>caf\xe9</methodName></methodCall>",
    ],
    ids=["nothing", "text", "no method", "entity", "not a number", "too deep", "not UTF-8"],
)
async def test_malformed_call_is_a_fault(host: Host, body: bytes) -> None:
    client = await RawClient.open(host.xmlrpc)
    await client.send(post(body))
    answer = await client.answer()
    assert answer.status == 200
    with pytest.raises(xmlrpc.client.Fault) as caught:
        xmlrpc.client.loads(answer.body)
    assert caught.value.faultCode == 1
    assert "not an XML-RPC call" in caught.value.faultString
    await client.close()


async def test_half_closing_http_1_0_client_on_any_path(host: Host) -> None:
    body = xmlrpc.client.dumps((False, "all", 0), "xend.domains_with_state").encode()
    client = await RawClient.open(host.xmlrpc)
    await client.send(post(body, version="1.0", path="/"))
    client.half_close()
    answer = await client.answer()
    assert answer.headers["content-type"] == "text/xml"
    assert answer.headers["content-length"] == str(len(answer.body))
    assert xmlrpc.client.loads(answer.body)[0] == (["Domain-0"],)
    await client.close()


async def test_other_methods_than_post(host: Host) -> None:
    client = await RawClient.open(host.xmlrpc)
    await client.send(b"GET /RPC2 HTTP/1.1\r\nHost: x\r\n\r\n")
    answer = await client.answer()
    assert answer.status == 501
    assert b"GET" in answer.body
    await client.close()


async def test_a_listing_answers_while_a_create_hangs(host: Host, xend: Xend) -> None:
    entered, release = asyncio.Event(), asyncio.Event()

    async def hang(operation: str, _stage: str, _domid: Any) -> None:
        if operation == "create":
            entered.set()
            await release.wait()

    host.hypervisor.faults = hang
    other = Xend(host.xmlrpc)
    creating = asyncio.create_task(other("xend.domain.create", vm("slow")))
    await entered.wait()
    names = await asyncio.wait_for(xend("xend.domains_with_state", False, "all", 0), 2)
    assert "Domain-0" in names
    release.set()
    await creating
    other.close()
