"""Who comes in, with which role, and what is written down of it."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import ssl
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from fastapi.routing import APIRoute

from tests.faces.conftest import Host
from tests.faces.daemonprocess import free_port
from tests.faces.restclient import WAIT
from xend.api.faces import FaceSpec
from xend.api.peer import Peer, peer_of
from xend.api.rest.app import ROUTERS
from xend.api.rest.audit import REFUSALS_AT_ONCE, RefusalBudget
from xend.api.rest.hostpaths import named_in
from xend.api.rest.openapi import OPEN
from xend.api.rest.security import Gatekeeper
from xend.api.rest.security_limits import FAILURES, FIRST_WAIT, LoginLimiter, TooManyFailures
from xend.api.rest.security_rules import RestRules
from xend.api.rest.tickets import Tickets
from xend.api.rest.tls import RestTls, client_certificates, make_certificate
from xend.api.rest.tokens import Tokens
from xend.api.sockets import TcpAddress, UnixAddress
from xend.client import ApiError, AsyncClient, calls
from xend.client.calls import Call
from xend.core.access import Role
from xend.errors import ConfigError, PermissionDenied


@pytest_asyncio.fixture
async def admin(host: Host) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(f"unix:{host.rest}") as client:
        yield client


async def opened(host: Host, tls: RestTls | None = None) -> int:
    """REST on a TCP port too."""
    port = free_port()
    specs = [FaceSpec("rest", UnixAddress(host.rest))]
    specs.append(FaceSpec("rest", TcpAddress("127.0.0.1", port), tls))
    assert await host.faces.apply(specs) == []
    return port


async def token(admin: AsyncClient, role: Any = "admin", seconds: float | None = None) -> str:
    return (await admin(calls.make_token(f"a {role}", role, seconds)))["token"]


async def status(client: AsyncClient, call: Call[Any]) -> int:
    return (await client.response(call)).status_code


# -- Tokens ----------------------------------------------------------------------------------------


async def test_over_tcp_nobody_is_known_without_a_token(host: Host, admin: AsyncClient) -> None:
    port = await opened(host)
    async with AsyncClient(f"http://127.0.0.1:{port}") as stranger:
        with pytest.raises(ApiError) as caught:
            await stranger(calls.domains())
        assert (caught.value.status, caught.value.code) == (401, "unauthenticated")
        assert (await stranger.response(calls.domains())).headers["www-authenticate"] == "Bearer"
        assert await stranger(calls.healthz()) == {"status": "ok"}
    async with AsyncClient(f"http://127.0.0.1:{port}", token=await token(admin)) as known:
        assert (await known(calls.domains()))["items"][0]["name"] == "Domain-0"


async def test_a_token_is_kept_as_a_hash_and_shown_once(host: Host, admin: AsyncClient) -> None:
    made = await admin(calls.make_token("grafana", "viewer", 3600))
    secret = made["token"].rpartition("_")[2]
    assert (
        secret not in (await admin.response(calls.tokens())).text and made["expires_at"] is not None
    )
    await host.faces.close()
    for file in host.folder.rglob("*"):
        assert not file.is_file() or secret.encode() not in file.read_bytes(), file


async def test_roles(host: Host, admin: AsyncClient) -> None:
    await admin(calls.create({"name": "web", "memory": 65536, "kernel": "/boot/vmlinuz"}, wait=10))
    new = {"name": "new", "memory": 65536, "kernel": "/boot/vmlinuz"}
    wanted = {
        "viewer": (200, 403, 403, 403, 403),
        "operator": (200, 200, 201, 403, 403),
        "admin": (200, 200, 201, 201, 200),
    }
    asked: list[Call[Any]] = [
        calls.domain("web"),
        calls.act("web", "pause", wait=10),
        calls.console_ticket("web"),
        calls.create(new, wait=10),
        calls.audit(),
    ]
    for role, expected in wanted.items():
        text = await token(admin, role)
        async with AsyncClient(f"unix:{host.rest}", token=text) as client:
            assert tuple([await status(client, call) for call in asked]) == expected, role


async def test_expiry_revocation_and_deletion(host: Host, admin: AsyncClient) -> None:
    short = await token(admin, "viewer", 2)
    made = [await admin(calls.make_token(name, "viewer")) for name in ("revoked", "deleted")]
    texts = [short, *(each["token"] for each in made)]
    clients = [AsyncClient(f"unix:{host.rest}", token=text) for text in texts]
    assert [await status(client, calls.domains()) for client in clients] == [200] * 3
    assert (await admin(calls.revoke_token(made[0]["id"])))["revoked_at"] is not None
    assert (await admin(calls.token(made[0]["id"])))["last_used_at"] is not None
    await admin(calls.delete_token(made[1]["id"]))
    await asyncio.sleep(2)
    assert [await status(client, calls.domains()) for client in clients] == [401] * 3
    assert len((await admin(calls.tokens()))["items"]) == 2
    for client in clients:
        await client.close()
    with pytest.raises(ApiError) as caught:
        await admin(calls.revoke_token("nonsense"))
    assert (caught.value.status, caught.value.code) == (404, "token.not-found")


async def test_tokens_outlive_the_daemon(host: Host, admin: AsyncClient) -> None:
    text = await token(admin, "viewer")
    await host.restart()
    async with AsyncClient(f"unix:{host.rest}", token=text) as client:
        assert await status(client, calls.domains()) == 200


@pytest.mark.parametrize(
    "value", ["Bearer", "Bearer x", "Bearer xend_", "Basic YTpi", "xend_a_b", "Bearer xend_é_x"]
)
async def test_what_is_no_token(host: Host, value: str) -> None:
    call: Call[Any] = Call("GET", "/v1/domains")
    transport = httpx.AsyncHTTPTransport(uds=str(host.rest))
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
        answer = await client.get(call.path, headers=[(b"Authorization", value.encode("latin-1"))])
    assert answer.status_code == 401


async def test_a_secret_is_not_kept_for_a_repeated_request(host: Host, admin: AsyncClient) -> None:
    transport = httpx.AsyncHTTPTransport(uds=str(host.rest))
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
        body, key = {"name": "x", "role": "viewer"}, {"Idempotency-Key": "k1"}
        first = await client.post("/v1/tokens", json=body, headers=key)
        await asyncio.sleep(0.2)  # until the first is forgotten
        second = await client.post("/v1/tokens", json=body, headers=key)
    assert first.json()["token"] != second.json()["token"]


# -- Guessing --------------------------------------------------------------------------------------


async def test_guessing_is_slowed_down_and_locks_out_nobody_else(
    host: Host, admin: AsyncClient
) -> None:
    port = await opened(host)
    right = await token(admin, "viewer")
    async with AsyncClient(f"http://127.0.0.1:{port}", token="xend_0_wrong") as guesser:
        seen = [await status(guesser, calls.domains()) for _ in range(FAILURES + 3)]
        assert seen == [401] * FAILURES + [429] * 3
        assert int((await guesser.response(calls.domains())).headers["retry-after"]) >= 1
    async with AsyncClient(f"http://127.0.0.1:{port}", token=right) as known:
        assert await status(known, calls.domains()) == 200
    lines = (await admin(calls.audit(who="nobody")))["items"]
    assert [line["result"] for line in lines] == ["401"] * FAILURES


def test_each_failure_doubles_the_wait() -> None:
    now = 1000.0
    limiter = LoginLimiter(lambda: now)
    for _ in range(FAILURES):
        limiter.check("a")
        limiter.failed("a")
    waits = []
    for _ in range(20):
        with pytest.raises(TooManyFailures) as caught:
            limiter.check("a")
        waits.append(caught.value.fields["retry_after"])
        limiter.check("b")
        now += waits[-1]
        limiter.check("a")
        limiter.failed("a")
    assert waits[:4] == [int(FIRST_WAIT * 2**n) + 1 for n in range(4)]
    assert max(waits) == 301
    now += 1000
    limiter.failed("a")
    limiter.check("a")


# -- Unix peers ------------------------------------------------------------------------------------


def gatekeeper(rules: RestRules) -> Gatekeeper:
    return Gatekeeper(lambda: rules, Tokens(None, lambda: 0), Tickets(lambda: 0), lambda: 0)  # type: ignore[arg-type]


def scope(peer: Peer, path: str = "/v1/domains") -> dict[str, Any]:
    state = {"peer": peer, "certificate": None}
    return {"type": "http", "method": "GET", "path": path, "headers": [], "state": state}


async def test_the_role_of_a_local_user() -> None:
    rules = RestRules(users={1000: Role.VIEWER}, groups={50: Role.OPERATOR, 60: Role.ADMIN})
    expected: Mapping[Peer, Role | None] = {
        Peer(1, 0, 0): Role.ADMIN,
        Peer(1, os.geteuid(), 7): Role.ADMIN,
        Peer(1, 1000, 1000): Role.VIEWER,
        Peer(1, 1000, 1000, (50,)): Role.OPERATOR,
        Peer(1, 1001, 60): Role.ADMIN,
        Peer(1, 1001, 1001, (1, 2)): None,
    }
    for peer, role in expected.items():
        if role is None:
            with pytest.raises(PermissionDenied, match="xend-rest-unix-roles"):
                await gatekeeper(rules).identify(scope(peer))
            caller = await gatekeeper(rules).identify(scope(peer, "/v1/healthz"))
            assert caller.role is Role.VIEWER
        else:
            assert (await gatekeeper(rules).identify(scope(peer))).role is role


def test_the_kernel_tells_the_groups_of_a_peer() -> None:
    left, right = socket.socketpair(socket.AF_UNIX)
    with left, right:
        peer = peer_of(left)
    assert peer is not None and set(peer.groups) == set(os.getgroups())


def test_every_route_asks_for_a_role() -> None:
    """What changes something asks for more than a viewer."""
    reads = {"/v1/convert", "/v1/validate"}
    unknown = "/v1/domains/{ref}/actions/{verb}"  # answers 404
    for router in ROUTERS:
        for route in router.routes:
            if not isinstance(route, APIRoute) or route.path in (*OPEN, unknown):
                continue
            wanted = [_role(each.call) for each in route.dependant.dependencies]
            roles = [role for role in wanted if role is not None]
            assert roles, f"{route.path} lets everybody in"
            if not {*(route.methods or ())} & {"GET", "HEAD"} and route.path not in reads:
                assert max(roles) >= Role.OPERATOR, f"{route.methods} {route.path}"


def _role(call: Any) -> Role | None:
    """Of `require(role)`: what its inner function has closed over."""
    for cell in getattr(call, "__closure__", None) or ():
        if isinstance(cell.cell_contents, Role):
            return cell.cell_contents
    return None


# -- TLS -------------------------------------------------------------------------------------------


def identity(folder: Path, name: str) -> tuple[Path, Path]:
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    make_certificate(key, certificate, "")
    return certificate, key


async def test_tls_makes_its_certificate_and_knows_its_clients(
    host: Host, admin: AsyncClient, tmp_path: Path
) -> None:
    trusted = tmp_path / "clients/operator"
    known = await asyncio.to_thread(identity, trusted, "deploy")
    stranger = await asyncio.to_thread(identity, tmp_path, "stranger")
    clients = client_certificates(tmp_path / "clients")
    host.faces.rest.rules = RestRules(
        certificates={print_: (name, role) for print_, name, role in clients.values()}
    )
    key, own = tmp_path / "tls/server.key", tmp_path / "tls/server.crt"
    port = await opened(host, RestTls(key, own, "127.0.0.1", tuple(clients)))
    assert key.stat().st_mode & 0o777 == 0o600
    url = f"https://127.0.0.1:{port}"
    async with AsyncClient(url, authority=own, certificate=known) as client:
        assert await status(client, calls.domains()) == 200
        assert await status(client, calls.audit()) == 403
    async with AsyncClient(url, authority=own) as client:
        assert await status(client, calls.domains()) == 401
    async with AsyncClient(url, authority=own, token=await token(admin)) as client:
        assert await status(client, calls.audit()) == 200
    bad = AsyncClient(url, authority=own, certificate=stranger)
    with pytest.raises(httpx.TransportError):
        await bad(calls.domains())
    await bad.close()
    with pytest.raises(httpx.ConnectError):
        await AsyncClient(url)(calls.domains())
    old = ssl.create_default_context(cafile=own)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await asyncio.open_connection("127.0.0.1", port, ssl=old)


def test_files_that_are_no_certificates(tmp_path: Path) -> None:
    tls = RestTls(tmp_path / "k", tmp_path / "c")
    with pytest.raises(ConfigError, match="cannot use the key"):
        tls.context()
    (tmp_path / "viewer").mkdir()
    (tmp_path / "viewer/x.pem").write_text("no")
    with pytest.raises(ConfigError, match=r"x\.pem is not a certificate"):
        client_certificates(tmp_path)


# -- Web pages -------------------------------------------------------------------------------------


async def test_pages_of_other_sites_are_kept_out(host: Host) -> None:
    transport = httpx.AsyncHTTPTransport(uds=str(host.rest))
    async with httpx.AsyncClient(transport=transport, base_url="http://xend") as client:
        for origin in ("https://evil.example", "null", "http://xend"):
            answer = await client.get("/v1/domains", headers={"Origin": origin})
            assert (answer.status_code, answer.json()["code"]) == (403, "origin-refused")
            assert "access-control-allow-origin" not in answer.headers
        good = "https://panel.example"
        host.faces.rest.rules = RestRules(origins=frozenset({good}))
        answer = await client.get("/v1/domains", headers={"Origin": good})
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == good
        asked = {"Origin": good, "Access-Control-Request-Method": "POST"}
        answer = await client.options("/v1/domains", headers=asked)
        assert (
            answer.status_code == 204 and "POST" in answer.headers["access-control-allow-methods"]
        )
        answer = await client.get("/v1/domains", headers={"Origin": "https://evil.example"})
        assert answer.status_code == 403


# -- The audit -------------------------------------------------------------------------------------


async def test_every_change_is_written_down(host: Host, admin: AsyncClient) -> None:
    await admin(calls.create({"name": "web", "memory": 65536, "kernel": "/k"}, wait=10))
    await admin(calls.domains())
    with pytest.raises(ApiError):
        await admin(calls.act("web", "unpause", {"x": 1}))
    await host.service.pause("web")  # as xm would
    uuid = (await admin(calls.domain("web")))["uuid"]
    lines: list[Any] = []
    async with asyncio.timeout(5):
        while not any(line["action"] == "pause" for line in lines):
            lines = (await admin(calls.audit()))["items"]
    told = {(line["face"], line["action"], line["result"]) for line in lines}
    assert told == {
        ("rest", "POST /v1/domains", "201"),
        ("rest", "create", "done"),
        ("rest", "POST /v1/domains/web/actions/unpause", "422"),
        ("xend", "pause", "done"),
    }
    by_action = {line["action"]: line for line in lines}
    request, ended = by_action["POST /v1/domains"], by_action["create"]
    assert request["who"] == f"uid {os.geteuid()}" and request["role"] == "admin"
    assert request["origin"] == f"unix:pid {os.getpid()}"
    assert ended["target"] == uuid and ended["operation"]
    page = await admin(calls.audit(limit=1, target=uuid))
    assert len(page["items"]) == 1
    assert [line["seq"] for line in lines] == sorted((x["seq"] for x in lines), reverse=True)


async def test_the_audit_has_pages(admin: AsyncClient) -> None:
    for number in range(5):
        await admin(calls.make_token(f"t{number}", "viewer"))
    seen: list[int] = []
    cursor: str | None = None
    while True:
        page = await admin(calls.audit(limit=2, cursor=cursor))
        seen += [line["seq"] for line in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert seen == [5, 4, 3, 2, 1]


# -- Files of the host -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "paths"),
    [
        ({"kernel": "/boot/k", "cmdline": "root=/dev/xvda", "name": "/x"}, ["/boot/k"]),
        ({"bootloader": "pygrub"}, []),
        ({"bootloader": "../x"}, ["/../x"]),
        ({"bootloader_args": "--kernel=/vmlinuz --output=/etc/x"}, ["/etc/x"]),
        ({"disks": [{"scheme": "phy", "path": "vg0/root"}]}, ["/dev/vg0/root"]),
        ({"disks": [{"scheme": "phy", "path": "../etc/shadow"}]}, ["/dev/../etc/shadow"]),
        ({"disks": [{"scheme": "tap:qcow2", "path": "/srv/x,y"}]}, ["/srv/x,y"]),
        ({"disks": [{"scheme": "tap:nbd", "path": "host:10809"}]}, []),
        ({"disks": [{"scheme": "file", "path": "", "device_type": "cdrom"}]}, []),
        ({"vifs": [{"script": "vif-bridge", "bridge": "xenbr0"}]}, []),
        ({"vifs": [{"script": "/tmp/evil"}]}, ["/tmp/evil"]),
        (
            {"platform": {"serial": "file:/etc/x", "a": ["-drive file=/y,if=none"]}},
            ["/etc/x", "/y"],
        ),
        ({"p9s": [{"path": "/etc", "tag": "t"}]}, ["/etc"]),
    ],
)
def test_the_files_that_a_configuration_names(document: dict[str, Any], paths: list[str]) -> None:
    assert [path for _pointer, path in named_in(document)] == paths


async def local(host: Host, folder: Path, port: int, admin: AsyncClient, role: str) -> AsyncClient:
    """A client by token; configurations may name files below `folder`."""
    host.faces.rest.rules = RestRules(images=(folder, Path("/boot"), Path("/dev")))
    return AsyncClient(f"http://127.0.0.1:{port}", token=await token(admin, role))


async def test_configurations_name_only_files_that_are_allowed(
    host: Host, admin: AsyncClient, tmp_path: Path
) -> None:
    images = tmp_path / "images"
    images.mkdir()
    (images / "good").write_text("")
    (images / "out").symlink_to("/etc")
    (images / "loop").symlink_to("loop")
    port = await opened(host)
    base = {"name": "prospero", "memory": 65536, "kernel": "/boot/vmlinuz"}
    async with await local(host, images, port, admin, "admin") as remote:
        for path, wanted in (
            ("/etc/shadow", 403),
            (f"{images}/../x", 403),
            (f"{images}/out/shadow", 403),
            (f"{images}/loop/x", 422),
            (f"{images}/a\0b", 422),
        ):
            disk = {"scheme": "file", "path": path, "vdev": "xvda"}
            response = await remote.response(calls.create({**base, "disks": [disk]}))
            assert response.status_code == wanted, response.text
            assert response.json()["pointer"] == "/disks/0/path"
            text = json.dumps({**base, "disks": [disk]})
            assert await status(remote, calls.validate(text, "application/json")) == wanted
        kernel = {**base, "kernel": "/root/vmlinuz"}
        response = await remote.response(calls.create(kernel))
        assert response.json()["fields"]["option"] == "xend-rest-image-paths"
        disk = {"scheme": "file", "path": f"{images}/good", "vdev": "xvda"}
        await remote(calls.create({**base, "disks": [disk]}, define=True, wait=10))
        # Root of this host may name any file; what is there already may stay.
        cd = {"scheme": "file", "path": "/opt/x.iso", "vdev": "hdc", "device_type": "cdrom"}
        await admin(calls.attach("prospero", "disks", cd, wait=10))
        patch = {"description": "as before"}
        response = await remote.response(calls.patch_config("prospero", patch, "*", wait=10))
        assert response.status_code == 200, response.text
        patch = {"ramdisk": "/opt/initrd"}
        response = await remote.response(calls.patch_config("prospero", patch, "*", wait=10))
        assert response.status_code == 403


async def test_an_operator_puts_no_disk_of_the_host_into_the_drive(
    host: Host, admin: AsyncClient, tmp_path: Path
) -> None:
    cd = {"scheme": "file", "path": "", "vdev": "hdc", "device_type": "cdrom", "access": "r"}
    base = {"name": "prospero", "memory": 65536, "kernel": "/boot/vmlinuz", "disks": [cd]}
    await admin(calls.create(base, wait=10))
    port = await opened(host)
    async with await local(host, tmp_path, port, admin, "operator") as remote:
        for path, scheme, wanted in (
            ("/etc/shadow", "file", 403),
            ("/dev/sda", "phy", 403),
            ("/dev/sr0", "phy", 200),
            (f"{tmp_path}/x.iso", "file", 200),
        ):
            call = calls.insert_cdrom("prospero", {"path": path, "scheme": scheme}, wait=10)
            assert await status(remote, call) == wanted, path


def test_an_xm_file_from_elsewhere_is_not_told_which_files_there_are() -> None:
    from xend.api.rest.bodies import _from_xm

    for name in ("/etc/passwd", "/nowhere/at/all"):
        assert _from_xm(f"name = 'a'\nkernel = '{name}'\n").config.kernel == name


# -- The audit of those who are not let in ---------------------------------------------------------


async def test_who_knocks_does_not_fill_the_audit(host: Host, admin: AsyncClient) -> None:
    port = await opened(host)
    async with AsyncClient(f"http://127.0.0.1:{port}") as stranger:
        for _ in range(REFUSALS_AT_ONCE + 30):
            assert await status(stranger, calls.domains()) == 401
    lines = (await admin(calls.audit(limit=1000)))["items"]
    assert len([line for line in lines if line["who"] == "nobody"]) == REFUSALS_AT_ONCE


def test_the_audit_says_how_many_refusals_it_left_out() -> None:
    now = 0.0
    budget = RefusalBudget(lambda: now, at_once=2, seconds=10)
    assert [budget.spend("a") for _ in range(5)] == [0, 0, None, None, None]
    assert budget.spend("b") == 0
    now = 10.0
    assert budget.spend("a") == 3
    assert budget.spend("a") is None
    now = 1000.0
    assert [budget.spend("a") for _ in range(3)] == [1, 0, None]


async def test_tokens_of_one_name_are_told_apart(host: Host, admin: AsyncClient) -> None:
    port = await opened(host)
    made = [await admin(calls.make_token("deploy", "admin")) for _ in range(2)]
    body = {"name": "prospero", "memory": 65536, "kernel": "/boot/vmlinuz"}
    host.faces.rest.rules = RestRules(images=(Path("/boot"),))
    statuses = []
    for each in made:
        headers = {"Authorization": f"Bearer {each['token']}", "Idempotency-Key": "one", **WAIT}
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as remote:
            answer = await remote.post("/v1/domains", json=body, headers=headers)
            statuses.append(answer.status_code)
    assert statuses == [201, 409]  # the key of one is not the key of the other
    who = {line["who"] for line in (await admin(calls.audit()))["items"]}
    assert {f"token deploy ({each['id']})" for each in made} <= who
