"""The daemon as a command sees it: which one, over which transport, and what to do without it."""

from __future__ import annotations

import os
import time

from xend.cli.failures import CommandFailed, Restarting, Unreachable
from xend.cli.frames import FrameConnection

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from xend.cli.http import HttpConnection
    from xend.cli.streams import ErrorStream
    from xend.cli.xenapi.methods import Translator
    from xend.cli.xenapi.session import Rpc, Session

RUN_DIR = "/var/run/xend"
PID_FILE = "/var/run/xend.pid"
CONFIG_FILE = "/etc/xen/xm-config.xml"
LEGACY = "LegacyXMLRPC"
XEN_API = "Xen-API"

RESTART_PATIENCE = 10.0
"""Seconds that a command waits for a daemon that is being restarted."""
_RETRY_PAUSE = 0.05
_MAX_INT = 2**31 - 1
_MIN_INT = -(2**31)
_ECONNRESET = 104
_NOT_THERE = (2, 111)
"""ENOENT and ECONNREFUSED."""

ONLY_LOOK = frozenset(
    (
        *("xend.domain", "xend.domains", "xend.domains_with_state", "xend.node.info"),
        *("xend.node.log", "xend.node.dmesg.info", "xend.node.pciinfo", "xend.cpu_pool.list"),
        *("xend.domain.getVCPUInfo", "xend.domain.getDeviceSxprs", "xend.domain.getRestartCount"),
        *("xend.domain.getBlockDeviceClass", "xend.domain.getpauseflag"),
        *("xend.domain.sched_credit_get", "xend.domain.sched_credit2_get"),
        *("xend.private.listing", "xend.private.who"),
        *("xend.private.domains", "xend.private.configurations", "xend.private.vcpus"),
        *("xend.private.labels", "xend.private.nodes", "xend.private.devices"),
        *("xend.private.host", "xend.private.pools", "xend.private.shares"),
        "xend.private.pool_schedule",
    )
)
"""Methods that can be called twice: they change nothing."""


class ServerChoice:
    """Which server the environment and xm-config.xml name."""

    __slots__ = ("kind", "named_in", "password", "uri", "username")

    def __init__(
        self,
        kind: str,
        uri: str | None,
        username: str = "",
        password: str = "",
        named_in: str = "",
    ) -> None:
        self.kind = kind
        self.named_in = named_in
        """The file; empty when none names a server."""
        self.uri = uri
        self.username = username
        self.password = password


def choose_server(env: Mapping[str, str], err: ErrorStream) -> ServerChoice:
    """xm-config.xml first, then XM_SERVER; `uri` None means this host's own daemon."""
    path = env.get("XM_CONFIG_FILE", CONFIG_FILE)
    attributes = _server_element(path, err)
    if attributes is not None:
        kind = attributes.get("type", "")
        if kind not in (XEN_API, LEGACY):
            err.write(f"Invalid server type {kind}; using {LEGACY}.\n")
            kind = LEGACY
        return ServerChoice(
            kind,
            attributes.get("uri", ""),
            attributes.get("username", ""),
            attributes.get("password", ""),
            path,
        )
    return ServerChoice(LEGACY, env.get("XM_SERVER"))


def _server_element(path: str, err: ErrorStream) -> dict[str, str] | None:
    try:
        file = open(path, "rb")  # noqa: SIM115 - most hosts have no such file: fail cheaply
    except OSError:
        return None
    import pyexpat

    found: list[dict[str, str]] = []

    def start(tag: str, attributes: dict[str, str]) -> None:
        if tag == "server":
            found.append(attributes)

    parser = pyexpat.ParserCreate()
    parser.StartElementHandler = start
    try:
        with file:
            parser.ParseFile(file)
    except (OSError, pyexpat.ExpatError):
        err.write(f"Ignoring invalid configuration file {path}.\n")
        return None
    return found[0] if found else None


class Server:
    """Calls of the daemon's methods; connects at the first one."""

    def __init__(self, env: Mapping[str, str], choice: ServerChoice) -> None:
        self._env = env
        self._choice = choice
        self._call: Rpc | None = None
        self._frames: FrameConnection | None = None
        self._http: HttpConnection | None = None
        self._kept: FrameConnection | None = None
        self._translator: Translator | None = None
        """Of a Xen-API server; its session outlives the connection."""

    @property
    def is_xen_api(self) -> bool:
        return self._choice.kind == XEN_API

    @property
    def choice(self) -> ServerChoice:
        return self._choice

    @property
    def has_session(self) -> bool:
        """Connected to a Xen-API server."""
        return self._translator is not None

    def log_in(self) -> Session:
        """With a Xen-API server; its session, at the second time the same one."""
        self._connected()
        assert self._translator is not None
        self._translator.session.log_in()
        return self._translator.session

    def log_out(self) -> None:
        """The command needs the server no more."""
        if self._translator is not None:
            self._translator.session.log_out()
            self._translator = None
        self.disconnect()

    def use_frames(self, connection: FrameConnection) -> None:
        """A warm process keeps its connection from one command to the next."""
        if self._choice.uri is None and not self._wants_xmlrpc():
            self._frames = self._kept = connection
            self._call = connection.call

    def disconnect(self) -> None:
        """Close the connection, unless it is kept; the next call opens another one."""
        for connection in (self._frames, self._http):
            if connection is not None and connection is not self._kept:
                connection.close()
        self._call = self._frames = self._http = None

    @property
    def is_ours(self) -> bool:
        """Connected over the short way, which only this project's daemon has."""
        return self._frames is not None

    def becomes_ours(self) -> bool:
        """Connects, and says whether it is; what goes wrong the next call tells."""
        try:
            self._connected()
        except OSError:
            return False
        return self.is_ours

    def call(self, method: str, *params: Any) -> Any:
        """The method's result, as plain values; Fault, Unreachable or ProtocolError otherwise."""
        for value in params:
            check_integers(value)
        try:
            return self._attempt(method, params)
        except Unreachable as error:
            if not self._may_come_back(error, method):
                raise
            return self._call_after_restart(method, params)

    def _attempt(self, method: str, params: tuple[Any, ...]) -> Any:
        try:
            return self._connected()(method, params)
        except Unreachable:
            raise
        except OSError as error:
            raise Unreachable(error.errno or 0, error.strerror or str(error)) from error

    def call_each(self, method: str, calls: list[tuple[Any, ...]]) -> list[Any]:
        """Several calls; over the short way they travel together."""
        if len(calls) < 2:
            return [self.call(method, *params) for params in calls]
        if self._translator is not None:
            return self._translator.call_each(method, calls)
        first = self.call(method, *calls[0])  # connects, and waits out a restart
        if self._frames is None:
            return [first, *(self.call(method, *params) for params in calls[1:])]
        try:
            return [first, *self._frames.call_each(method, calls[1:])]
        except Unreachable:
            raise
        except OSError as error:
            raise Unreachable(error.errno or 0, error.strerror or str(error)) from error

    def _connected(self) -> Rpc:
        if self._call is None:
            self._call = self._open()
        return self._call

    def _open(self) -> Rpc:
        run_dir = self._env.get("XEND_RUN_DIR", RUN_DIR)
        if self._choice.uri is None and not self._wants_xmlrpc():
            frames = FrameConnection(run_dir + "/cli.sock")
            try:
                frames.connect()
            except Unreachable:
                pass  # an older daemon: it has only XML-RPC
            else:
                self._frames = frames
                return frames.call
        uri = self._choice.uri
        if uri is None:
            uri = f"httpu://{run_dir}/xmlrpc.sock"
        self._http = _xmlrpc_connection(uri)
        caller = _xmlrpc_caller(self._http)
        return self._translated(caller) if self.is_xen_api else caller

    def _translated(self, caller: Rpc) -> Rpc:
        from xend.cli.xenapi.methods import Translator
        from xend.cli.xenapi.session import Session

        if self._translator is None:
            session = Session(caller, self._choice.username, self._choice.password)
            self._translator = Translator(session)
        self._translator.session.rpc = caller
        return self._translator.call

    def _wants_xmlrpc(self) -> bool:
        return self._env.get("XM_TRANSPORT") == "xmlrpc"

    def _may_come_back(self, error: Unreachable, method: str) -> bool:
        """Only this host's daemon, only if something says so, and only if it was not there: one
        that ended over a call may have done it, unless that call only looks."""
        if self._choice.uri is not None:
            return False
        lost = error.errno == _ECONNRESET and method in ONLY_LOOK
        if not lost and (getattr(error, "sent", False) or error.errno not in _NOT_THERE):
            return False
        return restart_in_progress(self._env)

    def _call_after_restart(self, method: str, params: tuple[Any, ...]) -> Any:
        deadline = time.monotonic() + RESTART_PATIENCE
        while True:
            time.sleep(_RETRY_PAUSE)
            self.disconnect()
            try:
                return self._attempt(method, params)
            except Unreachable as error:
                if getattr(error, "sent", False) and method not in ONLY_LOOK:
                    raise
                if time.monotonic() >= deadline:
                    raise Restarting(error.errno, error.strerror) from error
                if not restart_in_progress(self._env):
                    raise


def not_spoken(choice: ServerChoice) -> str:
    """What xl says of a file that names a server of the other kind, and what to do about it."""
    return (
        f"{choice.named_in} names a Xen-API server, {choice.uri or 'without a uri'}: xl does "
        f"not speak the Xen-API, and xend serves none. Make it "
        f'<server type="{LEGACY}" uri="httpu://{RUN_DIR}/xmlrpc.sock"/>, or remove the file; '
        "for one command: XM_CONFIG_FILE= xl list"
    )


def check_integers(value: Any) -> None:
    """Refuse what XML-RPC cannot carry, so that every transport refuses it alike."""
    if isinstance(value, int):
        if not _MIN_INT <= value <= _MAX_INT:
            raise OverflowError("int exceeds XML-RPC limits")
    elif isinstance(value, list):
        for item in value:
            check_integers(item)


def _xmlrpc_connection(uri: str) -> HttpConnection:
    from xend.cli.http import open_uri

    try:
        return open_uri(uri)
    except ValueError as error:
        raise CommandFailed(str(error)) from error


def _xmlrpc_caller(connection: HttpConnection) -> Rpc:
    from xend.cli import xmlrpc

    def call(method: str, params: tuple[Any, ...]) -> Any:
        result = xmlrpc.load_response(connection.post(xmlrpc.dump_call(method, params)))
        return xmlrpc.unescape(result) if isinstance(result, str) else result

    return call


def restart_in_progress(env: Mapping[str, str]) -> bool:
    """A daemon that has its pid file but not (yet, or any more) its sockets is coming or going."""
    run_dir = env.get("XEND_RUN_DIR")
    pid_file = PID_FILE if run_dir is None else run_dir + "/xend.pid"
    return os.access((run_dir or RUN_DIR) + "/restarting", os.F_OK) or _is_alive(pid_file)


def _is_alive(pid_file: str) -> bool:
    try:
        with open(pid_file, "rb") as file:
            pid = int(file.read())
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return b"xend" in file.read()
    except (OSError, ValueError):
        return False
