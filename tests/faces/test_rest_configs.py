"""Configurations over REST: dialects, ETags, merge patches; convert and validate."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.faces.conftest import Host
from tests.faces.restclient import WAIT, check_problem, client_of, config, made
from xend.api.rest.merging import merged

XM = {"Content-Type": "text/x-python"}
SXP = {"Content-Type": "application/sxp"}
PATCH = {"Content-Type": "application/merge-patch+json"}


@pytest_asyncio.fixture
async def rest(host: Host) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(host.rest) as client:
        yield client


XM_FILE = """
name = "ariel"
memory = 64 * 2
vcpus = len([1, 2])
bootloader = "/usr/bin/pygrub"
disk = ["file:/srv/%s.img,xvda,w" % name]
"""


async def test_an_xm_file(rest: httpx.AsyncClient) -> None:
    response = await rest.post("/v1/domains?define=true", content=XM_FILE, headers={**WAIT, **XM})
    assert response.status_code == 201, response.text
    found = (await rest.get("/v1/domains/ariel/config")).json()
    assert (found["memory"], found["vcpus"]) == (128 * 1024, 2)
    assert found["disks"][0]["path"] == "/srv/ariel.img"


@pytest.mark.parametrize(
    "line",
    [
        'name = open("/etc/passwd").read()',
        'execfile("/etc/passwd")',
        'import os; name = os.listdir("/")[0]',
        'import os.path; memory = os.path.getsize("/etc/passwd")',
        'import glob; name = glob.glob("/etc/*")[0]',
    ],
)
async def test_an_xm_file_sees_nothing_of_the_host(rest: httpx.AsyncClient, line: str) -> None:
    response = await rest.post("/v1/convert", content=XM_FILE + line + "\n", headers=XM)
    document = check_problem(response, 422, "config.invalid")
    assert "xend-rest" not in response.text and "root:" not in response.text, document


async def test_a_wrong_line_of_an_xm_file(rest: httpx.AsyncClient) -> None:
    response = await rest.post("/v1/domains", content="name = 'x'\nmemory = = 3\n", headers=XM)
    document = check_problem(response, 422, "config.invalid")
    assert document["fields"]["line"] == 2
    assert "/tmp" not in response.text


async def test_an_sxp_body(rest: httpx.AsyncClient) -> None:
    text = "(vm (name caliban) (memory 64) (image (linux (kernel /boot/vmlinuz))))"
    response = await rest.post("/v1/domains?paused=true", content=text, headers={**WAIT, **SXP})
    assert response.status_code == 201, response.text
    shown = await rest.get("/v1/domains/caliban/config?format=sxp")
    assert shown.headers["content-type"].startswith("application/sxp")
    assert shown.text.startswith("(domain") and "(name caliban)" in shown.text
    again = await rest.post("/v1/convert?to=json", content=shown.content, headers=SXP)
    assert again.json()["config"]["name"] == "caliban"
    document = check_problem(
        await rest.post("/v1/domains", content="(vm (name", headers=SXP), 422, "config.invalid"
    )
    assert document["detail"]


async def test_convert_hides_nothing_but_passwords(rest: httpx.AsyncClient) -> None:
    body = config(vfbs=[{"vncpasswd": "secret1"}])
    for dialect in ("json", "sxp", "xl"):
        response = await rest.post(f"/v1/convert?to={dialect}", json=body)
        assert response.status_code == 200
        assert "prospero" in response.text and "secret" not in response.text


async def test_validate(host: Host, rest: httpx.AsyncClient) -> None:
    good = (await rest.post("/v1/validate", json=config())).json()
    assert good["valid"] and good["problems"] == [] and good["name"] == "prospero"
    await made(rest)
    taken = (await rest.post("/v1/validate", json=config())).json()
    assert not taken["valid"] and taken["problems"][0]["code"] == "conflict"
    pool = (await rest.post("/v1/validate", json=config("other", pool="deep"))).json()
    assert pool["problems"][0]["pointer"] == "/pool"
    assert len((await rest.get("/v1/domains")).json()["items"]) == 2


async def current(rest: httpx.AsyncClient) -> tuple[str, dict[str, Any]]:
    response = await rest.get("/v1/domains/prospero/config")
    return response.headers["etag"], response.json()


async def test_a_configuration_is_replaced_by_who_has_seen_it(rest: httpx.AsyncClient) -> None:
    await made(rest, define=True)
    tag, document = await current(rest)
    body = {**document, "memory": 131072, "description": "the duke of Milan"}
    path = "/v1/domains/prospero/config"
    check_problem(await rest.put(path, json=body), 428, "precondition.required")
    stale = await rest.put(path, json=body, headers={"If-Match": '"stale"'})
    assert check_problem(stale, 412, "precondition.failed")["fields"]["etag"] == tag
    assert (await current(rest))[0] == tag
    done = await rest.put(path, json=body, headers={"If-Match": tag, **WAIT})
    assert done.status_code == 200, done.text
    fresh, after = await current(rest)
    assert fresh != tag and after["memory"] == 131072
    again = await rest.put(path, json=body, headers={"If-Match": tag, **WAIT})
    check_problem(again, 412, "precondition.failed")
    assert (await rest.put(path, json=body, headers={"If-Match": "*", **WAIT})).status_code == 200


async def test_of_two_writers_one_loses(rest: httpx.AsyncClient) -> None:
    await made(rest, define=True)
    tag, _ = await current(rest)
    answers = [
        await rest.patch(
            "/v1/domains/prospero/config",
            json={"description": str(number)},
            headers={"If-Match": tag, **PATCH},
        )
        for number in range(2)
    ]
    assert answers[0].status_code == 202
    if answers[1].status_code == 202:  # both were let in: then the second's turn comes too late
        place = answers[1].headers["location"]
        ended = (await rest.get(place, params={"wait": 10})).json()
        assert ended["error"]["code"] == "precondition.failed"
    else:
        check_problem(answers[1], 412, "precondition.failed")
    assert (await current(rest))[1]["description"] == "0"


async def test_a_merge_patch(rest: httpx.AsyncClient) -> None:
    await made(rest, define=True, settings={"vfbs": [{"vncpasswd": "secret"}]})
    tag, document = await current(rest)
    response = await rest.patch(
        "/v1/domains/prospero/config",
        json={"vcpus": 2, "description": None, "platform": {"acpi": 1}, "vfbs": document["vfbs"]},
        headers={"If-Match": tag, **PATCH, **WAIT},
    )
    assert response.status_code == 200, response.text
    _, after = await current(rest)
    assert (after["vcpus"], after["platform"]["acpi"]) == (2, 1)


async def test_a_hidden_password_sent_back_stays(host: Host, rest: httpx.AsyncClient) -> None:
    await made(rest, define=True, settings={"vfbs": [{"vncpasswd": "secret"}]})
    tag, document = await current(rest)
    assert document["vfbs"][0]["vncpasswd"] == "********"
    response = await rest.put(
        "/v1/domains/prospero/config",
        json={**document, "description": "new"},
        headers={"If-Match": tag, **WAIT},
    )
    assert response.status_code == 200
    view = await host.service.lookup("prospero")
    assert view.config and view.config.vfbs[0].vncpasswd == "secret"
    assert view.config.description == "new"


async def test_put_makes_what_is_not_there(rest: httpx.AsyncClient) -> None:
    new = {"If-None-Match": "*", **WAIT}
    path = "/v1/domains/prospero/config"
    response = await rest.put(path, json=config(), headers=new)
    assert response.status_code == 201 and response.json()["managed"]
    check_problem(await rest.put(path, json=config(), headers=new), 412, "precondition.failed")
    other = await rest.put("/v1/domains/ariel/config", json=config(), headers=new)
    check_problem(other, 409, "conflict")


async def test_what_a_configuration_cannot_change(rest: httpx.AsyncClient) -> None:
    await made(rest, define=True)
    path = "/v1/domains/prospero/config"
    any_tag = {"If-Match": "*", **WAIT}
    for change in (
        {"name": "ariel"},
        {"uuid": "5b1ca0e2-9d3f-4d57-8a3c-6d5c3c9f7a11"},
    ):
        response = await rest.patch(path, json=change, headers={**any_tag, **PATCH})
        document = check_problem(response, 422, "config.invalid")
        assert document["pointer"] == f"/{next(iter(change))}"
    response = await rest.patch(path, json=[1], headers={**any_tag, **PATCH})
    check_problem(response, 400, "http.malformed-body")
    response = await rest.patch(path, json={"memroy": 1}, headers={**any_tag, **PATCH})
    document = check_problem(response, 422, "request.invalid")
    assert document["errors"][0]["suggestion"] == "memory"
    response = await rest.put(path, json=config(), headers={**any_tag, "Content-Type": "text/html"})
    check_problem(response, 415, "http.unsupported-media-type")


async def test_nothing_keeps_the_configuration_of_an_unmanaged_one(rest: httpx.AsyncClient) -> None:
    await made(rest)
    response = await rest.patch(
        "/v1/domains/prospero/config",
        json={"description": "x"},
        headers={"If-Match": "*", **PATCH},
    )
    check_problem(response, 409, "domain.bad-state")


async def test_delete(rest: httpx.AsyncClient) -> None:
    await made(rest, define=True)
    tag, _ = await current(rest)
    stale = await rest.delete("/v1/domains/prospero", headers={"If-Match": '"x"', **WAIT})
    check_problem(stale, 412, "precondition.failed")
    response = await rest.delete("/v1/domains/prospero", headers={"If-Match": tag, **WAIT})
    assert (response.status_code, response.content) == (204, b"")
    check_problem(await rest.delete("/v1/domains/prospero"), 404, "domain.not-found")


async def test_delete_what_runs(rest: httpx.AsyncClient) -> None:
    await made(rest, define=True, start=True)
    response = await rest.delete("/v1/domains/prospero", headers=WAIT)
    document = check_problem(response, 409, "domain.bad-state")
    assert "destroy" in document["possible"]
    assert (await rest.delete("/v1/domains/prospero?force=1", headers=WAIT)).status_code == 204
    check_problem(await rest.get("/v1/domains/prospero"), 404, "domain.not-found")


@pytest.mark.parametrize(
    ("document", "patch", "result"),
    [  # RFC 7396, appendix A
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "foo"}, None, None),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_patches(document: Any, patch: Any, result: Any) -> None:
    assert merged(document, patch) == result


XL = {"Content-Type": "application/x-xl-config"}
XL_FILE = """
name = "miranda"
type = "pvh"
kernel = "/boot/vmlinuz"
memory = 128
maxmem = 256
disk = [ "/srv/miranda.img,raw,xvda,rw" ]
vif = [ "bridge=xenbr0,mac=00:16:3e:00:00:09" ]
"""


async def test_an_xl_file(rest: httpx.AsyncClient) -> None:
    response = await rest.post("/v1/domains?define=true", content=XL_FILE, headers={**WAIT, **XL})
    assert response.status_code == 201, response.text
    found = (await rest.get("/v1/domains/miranda/config")).json()
    assert (found["type"], found["maxmem"]) == ("pvh", 256 * 1024)
    assert found["disks"][0]["path"] == "/srv/miranda.img"


async def test_each_mistake_of_an_xl_file(rest: httpx.AsyncClient) -> None:
    text = 'name = "x"\nmemory = "much"\nvcpus = []\n'
    response = await rest.post("/v1/domains", content=text, headers=XL)
    document = check_problem(response, 422, "config.invalid-file")
    assert {(error["line"], error["field"]) for error in document["errors"]} >= {
        (2, "memory"),
        (3, "vcpus"),
    }


async def test_an_xl_file_goes_round(rest: httpx.AsyncClient) -> None:
    await rest.post("/v1/domains?define=true", content=XL_FILE, headers={**WAIT, **XL})
    shown = await rest.get("/v1/domains/miranda/config?format=xl")
    assert shown.headers["content-type"].startswith("application/x-xl-config")
    again = (await rest.post("/v1/convert", content=shown.content, headers=XL)).json()
    before = (await rest.get("/v1/domains/miranda/config")).json()
    for field in ("name", "uuid", "type", "memory", "maxmem", "vcpus", "kernel"):
        assert again["config"][field] == before[field], field
    assert again["config"]["vifs"][0]["mac"] == "00:16:3e:00:00:09"
