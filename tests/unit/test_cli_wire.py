"""What travels between the command line and the daemon."""

from __future__ import annotations

import gzip
import os
import socket
import threading
import xmlrpc.client
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faces.xmdaemon import FakeDaemon, Refusal
from xend.cli import frames, server
from xend.cli import xmlrpc as codec
from xend.cli.failures import CommandFailed, Fault, ProtocolError, Restarting, Unreachable
from xend.cli.http import open_uri
from xend.cli.server import Server, ServerChoice, choose_server
from xend.cli.streams import ErrorStream, Stream

VALUES = [
    None,
    True,
    False,
    0,
    -(2**31),
    2**31 - 1,
    1.5,
    "",
    "a <b> & 'c' \"d\"",
    "caf\u00e9\n",
    [],
    ["a", [1, [None]], {"k": [2.0, {}]}],
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_calls_are_read_by_others(value: Any) -> None:
    params, method = xmlrpc.client.loads(
        codec.dump_call("xend.m", (value, "x")), use_builtin_types=True
    )
    assert (method, params) == ("xend.m", (value, "x"))


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_answers_of_others_are_read(value: Any) -> None:
    body = xmlrpc.client.dumps((value,), methodresponse=True, allow_none=True)
    assert codec.load_response(body.encode()) == value


def test_a_value_without_a_type_is_text() -> None:
    body = b"<methodResponse><params><param><value>a b</value></param></params></methodResponse>"
    assert codec.load_response(body) == "a b"


def test_fault() -> None:
    body = xmlrpc.client.dumps(xmlrpc.client.Fault(3, "nosuch")).encode()
    with pytest.raises(Fault) as error:
        codec.load_response(body)
    assert (error.value.code, error.value.text) == (3, "nosuch")


@pytest.mark.parametrize("body", [b"", b"<a>", b"nonsense", b"<methodResponse/>", b"\xff"])
def test_answers_that_are_none(body: bytes) -> None:
    with pytest.raises(ProtocolError):
        codec.load_response(body)


@pytest.mark.parametrize(
    ("escaped", "text"),
    [
        ("plain", "plain"),
        (r"a\nb\tc", "a\nb\tc"),
        (r"back\\slash", "back\\slash"),
        (r"caf\xc3\xa9", "caf\u00e9"),
        (r"\xff", "\udcff"),
        (r"\101\60", "A0"),
        (r"\q\x4", "\\q\\x4"),
        (r"it\'s", r"it\047s"),
        ("it's \\n", "it's \n"),
        ("caf\u00e9 \\n", "caf\u00e9 \n"),
    ],
)
def test_text_that_is_a_whole_answer(escaped: str, text: str) -> None:
    assert codec.unescape(escaped) == text


@pytest.mark.parametrize("value", [*VALUES, "\udcff", "\x00\x1f\u2028", {"a": [1]}], ids=repr)
def test_json_both_ways(value: Any) -> None:
    assert frames.load(frames.dump(value)) == value


def test_json_that_is_none() -> None:
    for text in ("", "{", "nonsense"):
        with pytest.raises(ProtocolError):
            frames.load(text)


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def daemon(run_dir: Path) -> Iterator[FakeDaemon]:
    def echo(*params: Any) -> Any:
        return list(params)

    def refuse(code: int) -> None:
        raise Refusal(code, "no")

    daemon = FakeDaemon(run_dir, echo=echo, refuse=refuse)
    yield daemon
    daemon.close()


Connect = Callable[..., Server]


@pytest.fixture
def connect(run_dir: Path) -> Iterator[Connect]:
    """A server as a command would see it, with these variables in its environment."""
    made: list[Server] = []

    def connect(**env: str) -> Server:
        variables = {"XEND_RUN_DIR": str(run_dir), **env}
        made.append(Server(variables, ServerChoice(server.LEGACY, env.get("XM_SERVER"))))
        return made[-1]

    yield connect
    for one in made:
        one.disconnect()


def test_short_way(connect: Connect, daemon: FakeDaemon, run_dir: Path) -> None:
    ours = connect()
    assert ours.call("echo", 1, "x", [True, None]) == [1, "x", [True, None]]
    assert ours.is_ours
    assert ours.call("echo", "y" * 300_000) == ["y" * 300_000]
    with pytest.raises(Fault) as error:
        ours.call("refuse", 3)
    assert error.value.code == 3
    assert ours.call("echo") == []


def test_several_calls_travel_together(connect: Connect, daemon: FakeDaemon, run_dir: Path) -> None:
    calls = [(number, "x" * 1000) for number in range(200)]
    assert connect().call_each("echo", calls) == [list(call) for call in calls]


def test_a_fault_among_several_calls(connect: Connect, daemon: FakeDaemon, run_dir: Path) -> None:
    ours = connect()
    with pytest.raises(Fault):
        ours.call_each("refuse", [(1,), (2,), (3,)])
    assert ours.call("echo", 1) == [1]


def test_numbers_too_large_for_the_old_wire(
    connect: Connect, daemon: FakeDaemon, run_dir: Path
) -> None:
    with pytest.raises(OverflowError):
        connect().call("echo", ["vm", ["memory", 2**31]])
    assert daemon.calls == []


def test_a_kept_connection_that_was_closed(
    connect: Connect, daemon: FakeDaemon, run_dir: Path
) -> None:
    ours = connect()
    assert ours.call("echo", 1) == [1]
    daemon.close()
    again = FakeDaemon(run_dir, echo=lambda *params: ["new", *params])
    assert ours.call("echo", 2) == ["new", 2]
    again.close()


class HttpServer:
    """Gives each connection the next of some answers, byte for byte."""

    def __init__(self, path: Path, *answers: bytes) -> None:
        self.requests: list[bytes] = []
        self._answers = list(answers)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(8)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with self._listener:
            for answer in self._answers:
                connection, _ = self._listener.accept()
                with connection:
                    self.requests.append(connection.recv(65536))
                    connection.sendall(answer)


def response(value: Any) -> bytes:
    return xmlrpc.client.dumps((value,), methodresponse=True, allow_none=True).encode()


def http(body: bytes, *headers: str, status: str = "HTTP/1.1 200 OK") -> bytes:
    return "\r\n".join([status, *headers, "", ""]).encode() + body


def test_request_is_what_the_original_sent(connect: Connect, run_dir: Path) -> None:
    body = response("x")
    path = run_dir / "xmlrpc.sock"
    peer = HttpServer(path, http(body, f"Content-Length: {len(body)}"))
    assert connect().call("xend.domain", "web", 0) == "x"
    head, _, sent = peer.requests[0].partition(b"\r\n\r\n")
    assert head.decode().split("\r\n") == [
        "POST /RPC2 HTTP/1.1",
        f"Host: {path}",
        "Accept-Encoding: gzip",
        "User-Agent: xmlrpclib.py/1.0.1 (by www.pythonware.com)",
        "Content-Type: text/xml",
        f"Content-Length: {len(sent)}",
    ]


@pytest.mark.parametrize(
    "make",
    [
        lambda body: http(body, f"Content-Length: {len(body)}"),
        lambda body: http(body, "Connection: close"),
        lambda body: http(body, status="HTTP/1.0 200 OK"),
        lambda body: http(
            b"5\r\n%b\r\n%x;x\r\n%b\r\n0\r\n\r\n" % (body[:5], len(body) - 5, body[5:]),
            "Transfer-Encoding: chunked",
        ),
        lambda body: http(
            gzip.compress(body),
            "Content-Encoding: gzip",
            f"Content-Length: {len(gzip.compress(body))}",
        ),
    ],
    ids=["length", "close", "http/1.0", "chunked", "gzip"],
)
def test_answers_of_any_http_server(
    connect: Connect, run_dir: Path, make: Callable[[bytes], bytes]
) -> None:
    HttpServer(run_dir / "xmlrpc.sock", make(response(["a"])))
    assert connect().call("m") == ["a"]


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (b"nonsense\r\n\r\n", -1),
        (b"HTTP/1.1 abc\r\n\r\n", -1),
        (b"HTTP/1.1 500 Internal\r\nContent-Length: 0\r\n\r\n", 500),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", 200),
    ],
)
def test_answers_that_are_not_http(
    connect: Connect, run_dir: Path, answer: bytes, code: int
) -> None:
    HttpServer(run_dir / "xmlrpc.sock", answer)
    with pytest.raises(ProtocolError) as error:
        connect().call("m")
    assert error.value.code == code


def test_a_server_that_dies_while_it_answers(connect: Connect, run_dir: Path) -> None:
    """The call is not made twice: it may have had its effect."""
    peer = HttpServer(
        run_dir / "xmlrpc.sock", b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx"
    )
    for _ in range(2):
        with pytest.raises(Unreachable):
            connect().call("m")
    assert len(peer.requests) == 2


def test_the_old_wire_when_asked_for(connect: Connect, daemon: FakeDaemon, run_dir: Path) -> None:
    body = response("old")
    HttpServer(run_dir / "xmlrpc.sock", http(body, f"Content-Length: {len(body)}"))
    assert connect(XM_TRANSPORT="xmlrpc").call("m") == "old"


@pytest.mark.parametrize("uri", ["nonsense", "ftp://x", "httpu:x", "ssh:x"])
def test_servers_that_there_are_not(connect: Connect, run_dir: Path, uri: str) -> None:
    with pytest.raises(CommandFailed):
        connect(XM_SERVER=uri).call("m")


def test_server_over_tcp() -> None:
    body = response([1])
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(http(body, f"Content-Length: {len(body)}"))

        thread = threading.Thread(target=serve)
        thread.start()
        connection = open_uri(f"http://127.0.0.1:{port}/RPC2")
        answer = connection.post(b"x")
        connection.close()
        thread.join()
    assert answer == body


def test_server_over_ssh(connect: Connect, run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    body = response("far")
    (run_dir / "answer").write_bytes(http(body, f"Content-Length: {len(body)}"))
    ssh = run_dir / "ssh"
    ssh.write_text(f'#!/bin/sh\necho "$@" >{run_dir}/args\nread line\ncat {run_dir}/answer\n')
    ssh.chmod(0o755)
    monkeypatch.setenv("PATH", f"{run_dir}:{os.environ['PATH']}")
    assert connect(XM_SERVER="ssh://me@host").call("m") == "far"
    assert (run_dir / "args").read_text() == "me@host xm serve\n"


def choice_of(folder: Path, text: str | None, **env: str) -> tuple[ServerChoice, str]:
    config = folder / "xm-config.xml"
    if text is not None:
        config.write_text(text)
    with (folder / "err").open("w+b") as file:
        err = ErrorStream(file.fileno(), Stream(file.fileno()))
        choice = choose_server({"XM_CONFIG_FILE": str(config), **env}, err)
        return choice, (folder / "err").read_text()


def test_choice_of_server(tmp_path: Path) -> None:
    choice, err = choice_of(tmp_path, None)
    assert (choice.kind, choice.uri, err) == (server.LEGACY, None, "")
    choice, _ = choice_of(tmp_path, None, XM_SERVER="http://h/")
    assert choice.uri == "http://h/"
    text = '<xm><server type="Xen-API" uri="httpu:///x" username="u" password="p"/></xm>'
    choice, err = choice_of(tmp_path, text, XM_SERVER="http://h/")
    assert (choice.kind, choice.uri) == (server.XEN_API, "httpu:///x")
    assert (choice.username, choice.password, err) == ("u", "p", "")
    choice, err = choice_of(tmp_path, '<xm><server type="Foo" uri="httpu:///y"/></xm>')
    assert (choice.kind, choice.uri) == (server.LEGACY, "httpu:///y")
    assert err == "Invalid server type Foo; using LegacyXMLRPC.\n"
    choice, err = choice_of(tmp_path, "<xm><server")
    assert (choice.uri, err) == (
        None,
        f"Ignoring invalid configuration file {tmp_path}/xm-config.xml.\n",
    )


def test_without_the_file_for_one_command() -> None:
    assert choose_server({"XM_CONFIG_FILE": ""}, ErrorStream(2, Stream(1))).uri is None


def test_a_daemon_that_comes_back(connect: Connect, run_dir: Path) -> None:
    (run_dir / "restarting").touch()
    daemons: list[FakeDaemon] = []
    later = threading.Timer(
        0.2, lambda: daemons.append(FakeDaemon(run_dir, echo=lambda *params: list(params)))
    )
    later.start()
    assert connect().call("echo", 1) == [1]
    later.join()
    daemons[0].close()


def test_a_daemon_that_does_not_come_back(
    connect: Connect, run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "RESTART_PATIENCE", 0.2)
    (run_dir / "restarting").touch()
    with pytest.raises(Restarting):
        connect().call("echo", 1)


def test_a_daemon_that_is_not_there(connect: Connect, run_dir: Path) -> None:
    for pid_file in (None, "nonsense", "999999999", str(os.getpid())):
        if pid_file is not None:
            (run_dir / "xend.pid").write_text(pid_file)
        with pytest.raises(Unreachable) as error:
            connect().call("echo", 1)
        assert not isinstance(error.value, Restarting)
