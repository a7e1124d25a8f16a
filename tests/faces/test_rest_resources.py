"""Host, devices, memory, vcpus, scheduler, stats, logs, save and restore over REST."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.faces.conftest import Host
from tests.faces.restclient import WAIT, check_problem, client_of, made

HERE = "/v1/domains/prospero"
DISK = {"scheme": "file", "path": "/srv/data.img", "vdev": "xvdb"}


@pytest_asyncio.fixture
async def rest(host: Host) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(host.rest) as client:
        yield client


async def get(rest: httpx.AsyncClient, path: str, **query: Any) -> Any:
    response = await rest.get(path, params=query)
    assert response.status_code == 200, response.text
    return response.json()


async def test_the_host(rest: httpx.AsyncClient) -> None:
    assert (await get(rest, "/v1/readyz")) == {"status": "ready", "backend": "sim"}
    cpus = await get(rest, "/v1/host/cpus")
    assert [item["cpu"] for item in cpus["items"]] == [0, 1, 2, 3]
    nodes = (await get(rest, "/v1/host/numa"))["items"]
    assert sorted(cpu for node in nodes for cpu in node["cpus"]) == [0, 1, 2, 3]
    memory = await get(rest, "/v1/host/memory")
    assert memory["total"] >= memory["free"] > 0 and memory["dom0"] == 1024 * 1024
    assert set(await get(rest, "/v1/host/pci")) == {"items", "next", "driver"}
    assert "(XEN)" in (await get(rest, "/v1/host/dmesg"))["text"]
    assert len((await get(rest, "/v1/host/dmesg", tail=1))["text"].splitlines()) == 1
    features = await get(rest, "/v1/host/features")
    assert "idempotency-key" in features["features"] and features["scheduler"]


async def test_disks(rest: httpx.AsyncClient) -> None:
    await made(rest)
    assert (await rest.post(f"{HERE}/disks", json=DISK, headers=WAIT)).status_code == 201
    [disk] = (await get(rest, f"{HERE}/disks"))["items"]
    assert disk["id"] == "xvdb" and disk["configured"]["path"] == "/srv/data.img"
    assert disk["attached"]["backend"]["dev"] == "xvdb" and disk["attached"]["devid"] == 51728
    for name in ("xvdb", "51728"):
        assert (await get(rest, f"{HERE}/disks/{name}")) == disk
    taken = await rest.post(f"{HERE}/disks", json=DISK, headers=WAIT)
    check_problem(taken, 409, "conflict")
    assert (await rest.delete(f"{HERE}/disks/xvdb", headers=WAIT)).status_code == 204
    document = check_problem(await rest.delete(f"{HERE}/disks/xvdb"), 404, "not-found")
    assert document["fields"]["possible"] == []


async def test_nics(rest: httpx.AsyncClient) -> None:
    await made(rest, settings={"vifs": [{"mac": "00:16:3e:00:00:01"}]})
    nic = {"mac": "00:16:3E:00:00:02", "bridge": "xenbr0"}
    assert (await rest.post(f"{HERE}/nics", json=nic, headers=WAIT)).status_code == 201
    items = (await get(rest, f"{HERE}/nics"))["items"]
    assert [item["id"] for item in items] == ["0", "1"]
    assert (await get(rest, f"{HERE}/nics/00:16:3E:00:00:02"))["id"] == "1"
    assert (await rest.delete(f"{HERE}/nics/1", headers=WAIT)).status_code == 204
    assert len((await get(rest, f"{HERE}/nics"))["items"]) == 1


async def test_devices_of_a_halted_domain(rest: httpx.AsyncClient) -> None:
    await made(rest, define=True)
    for path, device, id in (
        ("disks", DISK, "xvdb"),
        ("nics", {"mac": "00:16:3e:00:00:02"}, "0"),
        ("vfbs", {"vncpasswd": "secret"}, "0"),
        ("pci", {"bus": 3, "slot": 0, "func": 0}, "0000:03:00.0"),
    ):
        response = await rest.post(f"{HERE}/{path}", json=device, headers=WAIT)
        assert response.status_code == 201, response.text
        text = (await rest.get(f"{HERE}/{path}")).text
        assert "secret" not in text
        [item] = (await get(rest, f"{HERE}/{path}"))["items"]
        assert item["id"] == id and item["attached"] is None


@pytest.mark.parametrize(
    ("path", "device", "pointer"),
    [
        ("disks", {"path": "/x"}, "/vdev"),
        ("disks", {**DISK, "acess": "r"}, "/acess"),
        ("disks", {**DISK, "access": "sometimes"}, "/access"),
        ("nics", {"mac": "zz"}, "/mac"),
        ("pci", {"bus": 1}, "/slot"),
        ("vfbs", [], ""),
    ],
)
async def test_a_wrong_device(
    rest: httpx.AsyncClient, path: str, device: Any, pointer: str
) -> None:
    await made(rest)
    response = await rest.post(f"{HERE}/{path}", json=device, headers=WAIT)
    document = check_problem(response, 422, "request.invalid")
    assert pointer in [error["pointer"] for error in document["errors"]]
    if pointer == "/acess":
        assert document["errors"][0]["suggestion"] == "access"


async def test_memory(rest: httpx.AsyncClient) -> None:
    await made(rest, settings={"maxmem": 131072})
    response = await rest.patch(f"{HERE}/memory", json={"target": 98304}, headers=WAIT)
    assert response.status_code == 200, response.text
    memory = await get(rest, f"{HERE}/memory")
    assert memory["target"] == 98304 and memory["current"] >= 98304
    response = await rest.patch(f"{HERE}/memory", json={"target": 1 << 30}, headers=WAIT)
    document = check_problem(response, 422, "argument.invalid")
    assert document["pointer"] == "/target"
    for body in ({"target": 0}, {"target": "x"}, {"size": 1}, {"target": 1.5}):
        response = await rest.patch(f"{HERE}/memory", json=body, headers=WAIT)
        check_problem(response, 422, "request.invalid")
    for body in ({}, {"target": 65536, "maximum": 131072}):
        response = await rest.patch(f"{HERE}/memory", json=body, headers=WAIT)
        check_problem(response, 422, "argument.invalid")


async def test_vcpus_and_where_they_run(rest: httpx.AsyncClient) -> None:
    await made(rest, settings={"vcpus": 4})
    assert (await rest.patch(f"{HERE}/vcpus", json={"online": 2}, headers=WAIT)).status_code == 200
    vcpus = await get(rest, f"{HERE}/vcpus")
    assert (vcpus["online"], vcpus["maximum"]) == (2, 4)
    assert [vcpu["online"] for vcpu in vcpus["items"]] == [True, True, False, False]
    response = await rest.patch(f"{HERE}/vcpus", json={"online": 5}, headers=WAIT)
    check_problem(response, 422, "argument.invalid")
    pin = {"vcpu": 1, "cpus": [0, 3]}
    assert (await rest.patch(f"{HERE}/affinity", json=pin, headers=WAIT)).status_code == 200
    affinity = (await get(rest, f"{HERE}/affinity"))["items"]
    assert affinity[1] == [0, 3] and affinity[0] == [0, 1, 2, 3]


async def test_the_scheduler(rest: httpx.AsyncClient) -> None:
    await made(rest)
    change = {"weight": 512, "cap": 50}
    assert (await rest.patch(f"{HERE}/scheduler", json=change, headers=WAIT)).status_code == 200
    assert (await get(rest, f"{HERE}/scheduler")) == change
    response = await rest.patch(f"{HERE}/scheduler", json={"cap": 500}, headers=WAIT)
    check_problem(response, 422, "argument.invalid")


async def test_stats_and_logs(host: Host, rest: httpx.AsyncClient) -> None:
    await made(rest, settings={"disks": [DISK], "vifs": [{}]})
    stats = await get(rest, f"{HERE}/stats")
    assert [disk["id"] for disk in stats["disks"]] == ["xvdb"] and len(stats["nics"]) == 1
    assert stats["vcpus"][0]["number"] == 0
    host.log.write_text("one of prospero\none of another\ntwo of prospero\n")
    assert (await get(rest, f"{HERE}/logs"))["items"] == ["one of prospero", "two of prospero"]
    assert (await get(rest, f"{HERE}/logs", limit=1))["items"] == ["two of prospero"]


async def test_save_and_restore(host: Host, rest: httpx.AsyncClient) -> None:
    domain = await made(rest)
    path = host.folder / "prospero.save"
    body = {"path": str(path)}
    saved = await rest.post(f"{HERE}/actions/save", json=body, headers=WAIT)
    assert saved.status_code == 200, saved.text
    check_problem(await rest.get(HERE), 404, "domain.not-found")
    back = await rest.post("/v1/restore", json={**body, "paused": True}, headers=WAIT)
    assert back.status_code == 201 and back.json()["uuid"] == domain["uuid"]
    assert back.json()["power_state"] == "paused"


@pytest.mark.parametrize("path", ["/etc/passwd", "/tmp/../etc/x", "relative", "/nowhere/x.save"])
async def test_files_lie_where_the_configuration_says(
    host: Host, rest: httpx.AsyncClient, path: str
) -> None:
    await made(rest)
    code = "argument.invalid" if path == "relative" else "permission-denied"
    for address in (f"{HERE}/actions/save", f"{HERE}/actions/dump-core", "/v1/restore"):
        response = await rest.post(address, json={"path": path}, headers=WAIT)
        check_problem(response, 422 if path == "relative" else 403, code)


@pytest.mark.parametrize(
    "name", ["a\0b", "loop/x", "fifo", "nowhere/x", "", "x" * 5000, "../" * 50 + "etc/passwd"]
)
async def test_what_is_no_file(host: Host, rest: httpx.AsyncClient, name: str) -> None:
    """It is said at once, nothing is waited for, and no operation is begun."""
    await made(rest)
    (host.folder / "loop").symlink_to("loop")
    os.mkfifo(host.folder / "fifo")
    path = f"{host.folder}/{name}"
    for address in (f"{HERE}/actions/save", f"{HERE}/actions/dump-core", "/v1/restore"):
        response = await rest.post(address, json={"path": path}, headers=WAIT)
        if name.startswith("../"):
            check_problem(response, 403, "permission-denied")
        else:
            check_problem(response, 422, "argument.invalid")
        assert response.json()["pointer"] == "/path"
    assert len((await get(rest, "/v1/operations"))["items"]) == 1


async def test_links_do_not_lead_out(host: Host, rest: httpx.AsyncClient) -> None:
    await made(rest)
    (host.folder / "out").symlink_to("/etc")
    body = {"path": str(host.folder / "out" / "x.save")}
    response = await rest.post(f"{HERE}/actions/save", json=body, headers=WAIT)
    check_problem(response, 403, "permission-denied")


async def test_actions_know_the_state(rest: httpx.AsyncClient) -> None:
    await made(rest, define=True)
    for verb in ("pause", "shutdown", "suspend", "resume", "sysrq", "trigger", "destroy"):
        body = {"sysrq": {"key": "s"}, "trigger": {"trigger": "nmi"}}.get(verb)
        response = await rest.post(f"{HERE}/actions/{verb}", json=body)
        document = check_problem(response, 409, "domain.bad-state")
        assert document["fields"]["state"] == "halted"
        assert document["possible"] == ["start", "rename"]
    items = (await get(rest, f"{HERE}/actions/"))["items"]
    assert [item["action"] for item in items if item["possible"]] == ["start", "rename"]
    response = await rest.post("/v1/domains/0/actions/destroy")
    check_problem(response, 409, "domain.bad-state")
    assert len((await get(rest, "/v1/operations"))["items"]) == 1


async def test_suspend_and_resume(rest: httpx.AsyncClient) -> None:
    await made(rest, define=True, start=True)
    for verb, state in (("suspend", "suspended"), ("resume", "running")):
        response = await rest.post(f"{HERE}/actions/{verb}", headers=WAIT)
        assert response.status_code == 200, response.text
        assert (await get(rest, HERE))["power_state"] == state


async def test_preferences(rest: httpx.AsyncClient) -> None:
    await made(rest)
    path = f"{HERE}/actions/pause"
    assert (await rest.post(path, headers={"Prefer": "respond-async, wait=5"})).status_code == 200
    response = await rest.post(path, headers={"Prefer": "respond-async"})
    assert response.status_code == 202
    assert response.headers["preference-applied"] == "respond-async"
    assert (await rest.post(f"{path}?wait=5")).status_code == 200
    waited = await rest.get(f"{response.headers['location']}/wait", params={"timeout": 5})
    assert waited.json()["status"] == "done"
    document = check_problem(
        await rest.delete(response.headers["location"]), 409, "domain.bad-state"
    )
    assert document["fields"]["state"] == "done"


async def test_cpu_pools(rest: httpx.AsyncClient) -> None:
    [pool] = (await get(rest, "/v1/cpupools"))["items"]
    assert pool["name"] == "Pool-0" and pool["active"] and len(pool["cpus"]) == 4
    taken = await rest.delete("/v1/cpupools/Pool-0/cpus/3", headers=WAIT)
    assert taken.status_code == 204, taken.text
    new = await rest.post("/v1/cpupools", json={"name": "quiet", "cpus": [3]}, headers=WAIT)
    assert new.status_code == 201, new.text
    again = await rest.post("/v1/cpupools", json={"name": "quiet"}, headers=WAIT)
    check_problem(again, 409, "conflict")
    await made(rest)
    moved = await rest.patch(f"{HERE}/cpupool", json={"pool": "quiet"}, headers=WAIT)
    assert moved.status_code == 200, moved.text
    quiet = await get(rest, "/v1/cpupools/quiet")
    assert quiet["cpus"] == [3] and [each["name"] for each in quiet["domains"]] == ["prospero"]
    check_problem(await rest.delete("/v1/cpupools/quiet", headers=WAIT), 409, "pool")
    await rest.post(f"{HERE}/actions/destroy", headers=WAIT)
    assert (await rest.delete("/v1/cpupools/quiet", headers=WAIT)).status_code == 204
    check_problem(await rest.get("/v1/cpupools/quiet"), 404, "not-found")
    back = await rest.put("/v1/cpupools/Pool-0/cpus/3", headers=WAIT)
    assert back.status_code == 200, back.text


async def test_usb(rest: httpx.AsyncClient) -> None:
    await made(rest)
    path = f"{HERE}/usb-controllers"
    new = await rest.post(path, json={"version": 2, "ports": 4}, headers=WAIT)
    assert new.status_code == 201, new.text
    [controller] = (await get(rest, path))["items"]
    number = controller["id"]
    assert list(controller["ports"]) == ["1", "2", "3", "4"]
    plug = await rest.put(f"{path}/{number}/ports/2", json={"device": "1-1"}, headers=WAIT)
    assert plug.status_code == 200, plug.text
    [device] = (await get(rest, f"{HERE}/usb"))["items"]
    assert (device["device"], device["port"]) == ("1-1", 2)
    assert (await rest.delete(f"{path}/{number}/ports/2", headers=WAIT)).status_code == 204
    assert (await rest.delete(f"{path}/{number}", headers=WAIT)).status_code == 204
    assert (await get(rest, path))["items"] == []


async def test_the_cd_drive(rest: httpx.AsyncClient) -> None:
    drive = {"vdev": "hdc", "device_type": "cdrom", "access": "r", "path": "/a.iso"}
    await made(rest, settings={"disks": [DISK, {**drive, "scheme": "file"}]})
    change = await rest.put(f"{HERE}/cdrom", json={"path": "/b.iso"}, headers=WAIT)
    assert change.status_code == 200, change.text
    disks = (await get(rest, f"{HERE}/disks"))["items"]
    assert disks[1]["configured"]["path"] == "/b.iso"
    eject = await rest.delete(f"{HERE}/cdrom?drive=hdc", headers=WAIT)
    assert eject.status_code == 200, eject.text
    assert (await get(rest, f"{HERE}/disks"))["items"][1]["configured"]["path"] == ""
    check_problem(await rest.delete(f"{HERE}/cdrom?drive=hdd"), 404, "not-found")


async def test_import(host: Host, rest: httpx.AsyncClient) -> None:
    await made(rest, define=True)
    copy = host.folder / "copy"
    (host.folder / "domains").rename(copy)
    await rest.delete(HERE, headers=WAIT)
    for dry, verdict in ((True, "importable"), (False, "imported")):
        body = {"path": str(copy), "dry_run": dry}
        response = await rest.post("/v1/import/xend", json=body, headers=WAIT)
        assert response.status_code == 200, response.text
        [entry] = response.json()["items"]
        assert (entry["verdict"], entry["name"]) == (verdict, "prospero")
    assert (await get(rest, HERE))["power_state"] == "halted"
    response = await rest.post("/v1/import/xend", json={"path": "/etc"}, headers=WAIT)
    check_problem(response, 403, "permission-denied")


async def test_a_rate_is_changed_under_the_guest(rest: httpx.AsyncClient) -> None:
    await made(rest, settings={"vifs": [{"mac": "00:16:3e:00:00:01", "rate": "10Mb/s"}]})

    async def rate() -> Any:
        nic = await get(rest, f"{HERE}/nics/0")
        return nic["configured"]["rate"], nic["attached"]["backend"].get("rate")

    assert await rate() == ("10Mb/s", "62500,50000")
    change = await rest.patch(f"{HERE}/nics/0", json={"rate": "250KB/s@20ms"}, headers=WAIT)
    assert change.status_code == 200, change.text
    assert await rate() == ("250KB/s@20ms", "5000,20000")
    assert (await rest.patch(f"{HERE}/nics/0", json={"rate": None}, headers=WAIT)).is_success
    assert await rate() == ("", None)
    wrong = await rest.patch(f"{HERE}/nics/0", json={"rate": "fast"}, headers=WAIT)
    check_problem(wrong, 422, "config.invalid")
    assert await rate() == ("", None)


async def test_devices_are_replaced_only_on_request(rest: httpx.AsyncClient) -> None:
    nic = {"mac": "00:16:3e:00:00:01", "bridge": "xenbr0"}
    await made(rest, settings={"vifs": [nic, {}], "disks": [DISK]})
    for path, wanted in ((f"{HERE}/disks/xvdb", {"access": "r"}), (f"{HERE}/nics/0", {"ip": "1"})):
        refused = await rest.patch(path, json=wanted, headers=WAIT)
        problem = check_problem(refused, 409, "domain.bad-state")
        assert "replug" in problem["detail"]
        assert not wanted.items() <= (await get(rest, path))["configured"].items()
    change = await rest.patch(f"{HERE}/disks/xvdb?replug=1", json={"access": "r"}, headers=WAIT)
    assert change.status_code == 200, change.text
    disk = await get(rest, f"{HERE}/disks/xvdb")
    assert (disk["configured"]["access"], disk["attached"]["backend"]["mode"]) == ("r", "r")
    change = await rest.patch(f"{HERE}/nics/0?replug=1", json={"bridge": "xenbr1"}, headers=WAIT)
    assert change.status_code == 200, change.text
    nics = (await get(rest, f"{HERE}/nics"))["items"]
    assert [item["id"] for item in nics] == ["0", "1"]
    assert nics[0]["attached"]["backend"]["bridge"] == "xenbr1"
    for path, change_ in (("disks/xvdb", {"vdev": "xvdc"}), ("nics/0", {"mac": None})):
        refused = await rest.patch(f"{HERE}/{path}?replug=1", json=change_, headers=WAIT)
        assert "another" in check_problem(refused, 409, "domain.bad-state")["detail"]


async def test_a_medium_is_changed_by_a_patch_too(rest: httpx.AsyncClient) -> None:
    drive = {"vdev": "hdc", "device_type": "cdrom", "access": "r", "path": "/a.iso"}
    await made(rest, settings={"disks": [drive]})
    change = await rest.patch(f"{HERE}/disks/hdc", json={"path": "/b.iso"}, headers=WAIT)
    assert change.status_code == 200, change.text
    assert (await get(rest, f"{HERE}/disks/hdc"))["configured"]["path"] == "/b.iso"


async def test_devices_of_a_halted_domain_are_changed(rest: httpx.AsyncClient) -> None:
    mac = "00:16:3e:00:00:07"
    await made(rest, define=True, settings={"vfbs": [{"vncpasswd": "secret"}], "disks": [DISK]})
    await made(rest, "other", settings={"vifs": [{"mac": mac}]})
    assert (await rest.post(f"{HERE}/nics", json={}, headers=WAIT)).status_code == 201
    changes: list[tuple[str, dict[str, Any]]] = [
        ("disks/xvdb", {"vdev": "xvdc"}),
        ("nics/0", {"bridge": "xenbr7"}),
        ("vfbs/0", {"keymap": "de", "vncpasswd": "********"}),
    ]
    for path, change in changes:
        response = await rest.patch(f"{HERE}/{path}", json=change, headers=WAIT)
        assert response.status_code == 200, response.text
    assert (await get(rest, f"{HERE}/disks/xvdc"))["configured"]["path"] == DISK["path"]
    assert (await get(rest, f"{HERE}/nics/0"))["configured"]["bridge"] == "xenbr7"
    assert (await get(rest, f"{HERE}/vfbs/0"))["configured"]["keymap"] == "de"
    taken = await rest.patch(f"{HERE}/nics/0", json={"mac": mac}, headers=WAIT)
    check_problem(taken, 409, "conflict")
    for body in ({"bridg": "x"}, {"mac": "zz"}):
        response = await rest.patch(f"{HERE}/nics/0", json=body, headers=WAIT)
        check_problem(response, 422, "request.invalid")
    check_problem(await rest.patch(f"{HERE}/nics/7", json={}, headers=WAIT), 404, "not-found")
    malformed = await rest.patch(f"{HERE}/nics/0", json=[1], headers=WAIT)
    check_problem(malformed, 400, "http.malformed-body")


async def test_a_pci_device_that_another_domain_has(rest: httpx.AsyncClient) -> None:
    device = {"bus": 3, "slot": 0, "func": 0}
    await made(rest, "other", settings={"pcis": [device]})
    await made(rest)
    taken = await rest.post(f"{HERE}/pci", json=device, headers=WAIT)
    assert check_problem(taken, 409, "conflict")["fields"]["domain"] == "other"
    for wrong in ({**device, "bus": -1}, {**device, "func": 8}, {**device, "slot": 32}):
        check_problem(await rest.post(f"{HERE}/pci", json=wrong), 422, "request.invalid")


async def test_cpus_that_there_are_not(rest: httpx.AsyncClient) -> None:
    await made(rest)
    wrong = await rest.patch(f"{HERE}/affinity", json={"cpus": [528, 246]}, headers=WAIT)
    assert "there is no such CPU" in check_problem(wrong, 422, "argument.invalid")["detail"]
    some = await rest.patch(f"{HERE}/affinity", json={"cpus": [0, 246]}, headers=WAIT)
    assert some.status_code in (200, 422), some.text


async def test_a_taken_name_is_refused_without_waiting(rest: httpx.AsyncClient) -> None:
    first = await made(rest)
    again = await rest.post(
        "/v1/domains", json={"name": "prospero", "memory": 65536, "kernel": "/boot/vmlinuz"}
    )
    check_problem(again, 409, "conflict")
    assert (await get(rest, HERE))["uuid"] == first["uuid"]


async def test_the_hypervisor_is_asked_about_itself(rest: httpx.AsyncClient) -> None:
    asked = await rest.post("/v1/host/actions/debug-keys", json={"keys": "h"})
    assert asked.status_code == 204, asked.text
    for keys in ("", "\n", "h" * 17):
        wrong = await rest.post("/v1/host/actions/debug-keys", json={"keys": keys})
        check_problem(wrong, 422, "request.invalid")
    assert (await get(rest, "/v1/host/dmesg"))["text"]
    assert (await rest.delete("/v1/host/dmesg")).status_code == 204
    assert (await get(rest, "/v1/host/dmesg"))["text"].strip() == ""
