"""docs/rest.md, made from the description of the interface: each endpoint with a curl."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from typing import Any, Final

from xend.api.rest.hints import HINTS
from xend.api.rest.openapi import operations
from xend.api.rest.problems import STATUS
from xend.errors import XendError

DEFAULTS: Final = {"200": "the document below", "202": "it is under way: the operation"}
CURL: Final = "curl --unix-socket /var/run/xend/rest.sock"
INTRODUCTION: Final = """\
# REST

Everything that xend does can be asked for over HTTP, as JSON.  The socket is
`/var/run/xend/rest.sock`; root may use it (see `xend-config.sxp`(5) for TCP, TLS and tokens).

```sh
curl --unix-socket /var/run/xend/rest.sock http://localhost/v1/domains
```

`GET /v1/openapi.json` describes the interface for programs; this page is made from it by
`scripts/gen-docs`.  Memory is in KiB, CPU time in nanoseconds, times are RFC 3339 in UTC.

## Operations

A change is an *operation*.  It answers `202 Accepted` at once, with its address in `Location`;
`Prefer: wait=30` (or `?wait=30`) waits up to 30 s for the result instead.  Operations and their
progress can be looked at, waited for and cancelled under `/v1/operations`; they survive a restart
of the daemon: one that was cut off is `interrupted`, what it did has been finished or undone, and
`links.domain` tells which.  A cancel takes back what was done; one that can only go forward (a
destroy that has begun, a save that is complete) is not `cancellable`, and refuses it (409).

```sh
curl --unix-socket /var/run/xend/rest.sock -X POST -H 'Prefer: wait=60' \\
  -H 'Content-Type: application/json' -H 'Idempotency-Key: 7d1fc2b0' \\
  -d '{"name": "prospero", "memory": 262144, "kernel": "/boot/vmlinuz"}' \\
  http://localhost/v1/domains
```

**Idempotency-Key** on a POST: a request that is repeated with the same key (for 24 hours, also
after a restart of the daemon) is done once; the second answer is the first one, with
`Idempotency-Replayed: true`.  A create that was cut off and undone is carried out again.  The key
of another request is refused (422), and so is one whose first request is not answered yet (409).

## Reading

* `ETag` and `If-None-Match`: 304 when nothing has changed, cheap enough to poll.
* Lists: `limit` and `cursor` (the `next` of the page before), `fields=name,memory.current`,
  `sort=-memory.current,name`, `filter=power_state=running,name~web*` (operators `= != < <= > >= ~`,
  where `~` is a pattern with `*` and `?`).  `Accept: application/x-ndjson` gives one item per line;
  the next page's address is in `Link: …; rel="next"`, too.
* `HEAD` wherever there is a `GET`; `OPTIONS` says in `Allow` what an address answers to.

## Changing configurations

`GET …/config` has an `ETag`; `PUT` and `PATCH` need it in `If-Match` (428 without, 412 when
somebody was faster).  `PATCH` is a JSON Merge Patch (RFC 7396).  Bodies may be JSON, or a file of
xm (`text/x-python`), of xl (`application/x-xl-config`), or SXP (`application/sxp`): the
Content-Type says which.  A password is shown as `********`; sent back like that, it stays what it
is.

## Events

`GET /v1/events` streams what happens, as server-sent events or (the same JSON) over a WebSocket.
`Accept: application/x-ndjson` gives JSON lines instead, for `jq`.
Events are numbered without gaps, also across restarts of the daemon; `Last-Event-ID` or `?since=`
resumes after a number.  A reader that is too slow gets `event: error` (WebSocket: close code 1008)
with the reason, and can resume.  A number that is no longer kept is answered 410: look at
everything again, then subscribe.

```sh
curl -N --unix-socket /var/run/xend/rest.sock 'http://localhost/v1/events?topics=domain'
```

## Errors

`application/problem+json` (RFC 9457).  `code` (and `type`, which is `urn:xend:error:` and the code)
never changes; `detail` is for people.  Where it applies there are `pointer` (the field of the body
that is wrong, RFC 6901) or `parameter` (of the query, or a header; `errors` has each of them),
`operation` (the address of the one that failed), `libxl` (its rc and its own log lines),
`script_stderr`, `possible` (what can be asked in the state that the domain is in), and `hint`.

Fields and parameters that do not exist are errors, as are types that are only alike (`"2"` or
`true` for a number), fields that are there twice, and a weak ETag in `If-Match`.

## What there is not

* `PUT` and `PATCH` of `/v1/domains/{ref}`: what is there is mostly observed (state, CPU time) and
  cannot be sent back; what is wanted has its own address and ETag, `…/config`.  `PUT …/config` with
  `If-None-Match: *` makes a domain by name.
* `actions/button`, `nmi` and `force-reset` are `actions/trigger` with `power`, `nmi` and `reset`.
* *Peers and incoming migrations*: another xend sends a domain to the relocation port
  (xend-config.sxp(5)); here `actions/migrate` begins one and its operation shows how far it is.
* *Snapshots and backups* of disks: libxl has none.  `actions/save` with `checkpoint` writes the
  memory to a file while the domain runs on; snapshots of its disks are the volume manager's or the
  file system's (`lvcreate --snapshot`, `qemu-img snapshot`, ZFS, btrfs), best of a paused domain.
* *Networks, volumes, images*: the host's own (bridges, LVM, directories), which xend neither makes
  nor changes.  Configurations name them.
* `PATCH /v1/host`: what can be changed of a host has addresses of its own: Domain-0's memory and
  CPUs (`/v1/domains/0/memory`, `/v1/domains/0/vcpus`), `/v1/cpupools`; xend's own settings are in
  xend-config.sxp(5) and read again at `xend reload`.
* `vkbs`, `vtpms`, `channels`, `p9`, `vsnd` have no addresses of their own: they are parts of the
  configuration (`PUT` and `PATCH …/config`) and in force from the next start on.
* *Certificates and roles* of users: in xend-config.sxp(5), where nobody who got a token can change
  them; tokens are at `/v1/tokens`.
* XML of configurations: `virsh domxml-from-native` makes it of a file of xl
  (`GET …/config?format=xl`).
"""


def guide(document: dict[str, Any]) -> str:
    parts = [INTRODUCTION, _codes(), "## Endpoints\n"]
    schemas = document["components"]["schemas"]
    shown: dict[str, str] = {}
    for tag in document["tags"]:
        parts.append(f"### {tag['name'].capitalize()}\n")
        if "description" in tag:
            parts.append(tag["description"] + "\n")
        for path, method, operation in operations(document):
            if operation.get("tags", ["host"])[0] == tag["name"]:
                parts.append(_endpoint(path, method, operation, schemas, shown))
    return "\n".join(parts)


def _codes() -> str:
    rows = ["| code | status | what to do |", "|---|---|---|"]
    for cls, status in sorted(STATUS.items(), key=lambda row: (row[1], row[0].key)):
        if cls is not XendError:
            rows.append(f"| `{cls.key}` | {status} | {HINTS.get(cls.key, '')} |")
    return "\n".join(rows) + "\n"


def _endpoint(
    path: str,
    method: str,
    operation: dict[str, Any],
    schemas: dict[str, Any],
    shown: dict[str, str],
) -> str:
    lines = [f"#### {method.upper()} {path}", "", operation["summary"] + "."]
    if "x-role" in operation:
        lines[-1] += f"  *(role: {operation['x-role']})*"
    parameters = [row for row in operation.get("parameters", ()) if row["in"] != "path"]
    if parameters:
        lines += ["", *map(_parameter, parameters)]
    lines += ["", "```sh", curl(path, method, operation, schemas), "```"]
    lines += ["", *_answers(f"{method.upper()} {path}", operation, schemas, shown), ""]
    return "\n".join(lines)


def _parameter(row: dict[str, Any]) -> str:
    where = "" if row["in"] == "query" else f" ({row['in']})"
    text = row.get("description") or row["schema"].get("description") or row["name"]
    return f"* `{row['name']}`{where}: {text}"


def curl(path: str, method: str, operation: dict[str, Any], schemas: dict[str, Any]) -> str:
    """A command that does it, with the examples of the description."""
    words = [CURL]
    if method != "get":
        words.append(f"-X {method.upper()}")
    if "x-stream" in operation:
        words.append("-N")
    names = {row["name"].lower() for row in operation.get("parameters", ())}
    if "if-match" in names and method in ("put", "patch"):
        words.append("-H 'If-Match: *'")
    body = request_body(operation, schemas)
    if body is not None:
        media, text = body
        words += [f"-H 'Content-Type: {media}'", f"-d {shlex.quote(text)}"]
    address = f"http://localhost{example_path(path, operation)}"
    return " ".join([*words, shlex.quote(address) if set("?*&") & set(address) else address])


def example_path(path: str, operation: dict[str, Any]) -> str:
    for row in operation.get("parameters", ()):
        if row["in"] == "path":
            path = path.replace(f"{{{row['name']}}}", str(_parameter_example(row)))
    required = [
        f"{row['name']}={_parameter_example(row)}"
        for row in operation.get("parameters", ())
        if row["in"] == "query" and row.get("required")
    ]
    return path + ("?" + "&".join(required) if required else "")


def _parameter_example(row: dict[str, Any]) -> Any:
    if "example" in row:
        return row["example"]
    examples = row["schema"].get("examples")
    return (
        examples[0] if examples else {"id": "8c3f2a1e-7", "ref": "prospero"}.get(row["name"], "0")
    )


def request_body(operation: dict[str, Any], schemas: dict[str, Any]) -> tuple[str, str] | None:
    """(media type, text) of an example; None when it takes no body."""
    content: Mapping[str, Any] = operation.get("requestBody", {}).get("content", {})
    for media, entry in content.items():
        value = entry.get("example")
        if value is None:
            value = example_of(entry["schema"], schemas)
        if value in (None, {}) and not operation["requestBody"].get("required"):
            return None
        return media, value if isinstance(value, str) else json.dumps(value)
    return None


def _answers(
    here: str, operation: dict[str, Any], schemas: dict[str, Any], shown: dict[str, str]
) -> Iterator[str]:
    """The statuses, and an example of the first document unless it has been shown already."""
    for status, response in operation["responses"].items():
        if not status.isdigit():
            continue
        text = response["description"].removeprefix("Successful Response")
        yield f"* {status}: {text or DEFAULTS.get(status, 'as below')}"
    for status in ("200", "201", "202"):
        entry = operation["responses"].get(status, {}).get("content", {}).get("application/json")
        if entry is not None:
            name = str(entry["schema"])
            if name in shown:
                yield from ("", f"The document is that of `{shown[name]}`.")
                return
            shown[name] = here
            example = example_of(entry["schema"], schemas)
            yield from ("", "```json", json.dumps(example, indent=2, ensure_ascii=False), "```")
            return


def example_of(schema: dict[str, Any], schemas: dict[str, Any]) -> Any:
    """Of the schema's own examples, or put together from those of its parts."""
    for key in ("examples", "enum"):
        if schema.get(key):
            return schema[key][0]
    if "$ref" in schema:
        return example_of(schemas[schema["$ref"].rpartition("/")[2]], schemas)
    for key in ("default", "const"):
        if key in schema:
            return schema[key]
    if "anyOf" in schema:
        return example_of(schema["anyOf"][0], schemas)
    match schema.get("type"):
        case "object":
            return {
                name: example_of(part, schemas)
                for name, part in schema.get("properties", {}).items()
            }
        case "array":
            inner = schema.get("items")
            return [example_of(inner, schemas)] if inner else []
        case "integer" | "number":
            return schema.get("minimum", schema.get("exclusiveMinimum", 0))
        case "boolean":
            return False
        case "string":
            return "…"
    return None
