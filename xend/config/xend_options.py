"""The options of xend-config.sxp, a row each: name, kind, default, effect.

Names and defaults are those of the original's configuration; the last group is new.
"""

from __future__ import annotations

from enum import Enum
from typing import Any


class Kind(Enum):
    BOOL = "bool"
    INT = "int"
    STR = "str"
    LIST = "list"


class Option:
    """One row.  `obsolete` says why the option is accepted but has no effect; `low` and `high`
    are the bounds of a number."""

    __slots__ = ("default", "effect", "group", "high", "kind", "low", "name", "obsolete")

    def __init__(
        self,
        group: str,
        name: str,
        kind: Kind,
        default: Any,
        effect: str,
        obsolete: str = "",
        *,
        low: int = 0,
        high: int = 2**31 - 1,
    ) -> None:
        self.low = low
        self.high = high
        self.group = group
        self.name = name
        self.kind = kind
        self.default = default
        self.effect = effect
        self.obsolete = obsolete

    @property
    def shown_default(self) -> str:
        """As it would stand in the file."""
        if self.default is None:
            return "unset"
        if self.kind is Kind.BOOL:
            return "yes" if self.default else "no"
        if self.kind is Kind.LIST:
            return "(" + " ".join(_shown(item) for item in self.default) + ")"
        return str(self.default) if self.default != "" else "''"


def _shown(item: Any) -> str:
    return "(" + " ".join(item) + ")" if isinstance(item, list) else str(item)


_LOG, _OLD, _REMOTE, _MEM, _DEV = (
    "Log",
    "Interfaces",
    "Relocation",
    "Memory and CPUs of Domain-0",
    "Guests",
)
_STORE, _NEW = "Files", "Interfaces of this xend"
B, I, S, L = Kind.BOOL, Kind.INT, Kind.STR, Kind.LIST  # noqa: E741 - short for the table
_TLS_PAIR = "a relative name is looked for in /etc/xen; key and certificate go together"
_VIA_LIBXL = "the device model is run by libxl"

OPTIONS: tuple[Option, ...] = (
    Option(_LOG, "logfile", S, "/var/log/xen/xend.log", "where the log is written"),
    Option(_LOG, "loglevel", S, "DEBUG", "TRACE, DEBUG, INFO, WARNING, ERROR or CRITICAL"),
    Option(
        _OLD,
        "xen-api-server",
        L,
        [["unix"]],
        "where the Xen-API listens: entries `(where auth hosts key certificate)`",
    ),
    Option(_OLD, "xend-http-server", B, False, "HTTP/SXP on TCP `xend-port`"),
    Option(_OLD, "xend-unix-server", B, False, "HTTP/SXP on the socket `xend-unix-path`"),
    Option(_OLD, "xend-unix-path", S, "/var/lib/xend/xend-socket", "that socket"),
    Option(_OLD, "xend-port", I, 8000, "port of HTTP/SXP", low=1, high=65535),
    Option(_OLD, "xend-address", S, "", "address of HTTP/SXP; empty means every interface"),
    Option(_OLD, "xend-unix-xmlrpc-server", B, True, "XML-RPC on /var/run/xend/xmlrpc.sock (xm)"),
    Option(_OLD, "xend-tcp-xmlrpc-server", B, False, "XML-RPC on TCP, without authentication"),
    Option(_OLD, "xend-tcp-xmlrpc-server-address", S, "localhost", "its address"),
    Option(_OLD, "xend-tcp-xmlrpc-server-port", I, 8006, "its port", low=1, high=65535),
    Option(
        _OLD,
        "xend-tcp-xmlrpc-server-ssl-key-file",
        S,
        None,
        f"with the next one, turns on TLS; {_TLS_PAIR}",
    ),
    Option(_OLD, "xend-tcp-xmlrpc-server-ssl-cert-file", S, None, "see the one above"),
    Option(
        _OLD,
        "xend-udev-event-server",
        B,
        False,
        "take device events from udev over a datagram socket",
        "libxl and the kernel tell about devices themselves",
    ),
    Option(_REMOTE, "xend-relocation-server", B, False, "accept guests from other hosts"),
    Option(_REMOTE, "xend-relocation-ssl-server", B, False, "the same over TLS"),
    Option(_REMOTE, "xend-relocation-port", I, 8002, "port of the first", low=1, high=65535),
    Option(_REMOTE, "xend-relocation-ssl-port", I, 8003, "port of the second", low=1, high=65535),
    Option(_REMOTE, "xend-relocation-address", S, "", "address of both; empty means every one"),
    Option(
        _REMOTE,
        "xend-relocation-hosts-allow",
        S,
        "",
        "regular expressions, separated by blanks, that the name or the address of a peer must "
        "match at its start; empty lets everybody in",
    ),
    Option(_REMOTE, "xend-relocation-server-ssl-key-file", S, None, f"for TLS; {_TLS_PAIR}"),
    Option(_REMOTE, "xend-relocation-server-ssl-cert-file", S, None, "see the one above"),
    Option(_REMOTE, "xend-relocation-ssl", B, False, "use TLS when sending guests away"),
    Option(
        _REMOTE,
        "external-migration-tool",
        S,
        "",
        "a program that moved external state along",
        "no such program works with today's Xen",
    ),
    Option(_MEM, "dom0-min-mem", I, 0, "MiB below which Domain-0 is never ballooned; 0: never"),
    Option(
        _MEM,
        "enable-dom0-ballooning",
        B,
        None,
        "take memory from Domain-0 when a guest needs it; unset: yes if `dom0-min-mem` is not 0",
    ),
    Option(
        _MEM,
        "total_available_memory",
        I,
        0,
        "GiB to reckon with",
        "the hypervisor reports the memory it has",
    ),
    Option(_MEM, "dom0-cpus", I, 0, "CPUs that Domain-0 may use; 0 means all"),
    Option(_DEV, "network-script", S, None, "run with start and stop when xend starts and stops"),
    Option(_DEV, "vif-script", S, "vif-bridge", "script of an interface that names none"),
    Option(
        _DEV,
        "console-limit",
        I,
        1024,
        "KiB kept of each guest's console, for readers over REST",
        high=1 << 20,
    ),
    Option(_DEV, "enable-dump", B, False, "write a core when a guest crashes"),
    Option(_DEV, "vnc-listen", S, "127.0.0.1", "address of VNC displays that name none"),
    Option(_DEV, "vncpasswd", S, None, "password of VNC displays that name none"),
    Option(_DEV, "vnc-tls", B, False, "VNC over TLS", _VIA_LIBXL),
    Option(_DEV, "vnc-x509-verify", B, False, "ask VNC clients for certificates", _VIA_LIBXL),
    Option(_DEV, "vnc-x509-cert-dir", S, "/etc/xen/vnc", "certificates of VNC", _VIA_LIBXL),
    Option(_DEV, "keymap", S, None, "keyboard layout of displays that name none"),
    Option(_DEV, "qemu-dm-logrotate-count", I, 10, "logs of device models kept", _VIA_LIBXL),
    Option(
        _DEV,
        "device-create-timeout",
        I,
        100,
        "seconds for a device to come up",
        "libxl waits 40 seconds for a hotplug script",
    ),
    Option(
        _DEV,
        "device-destroy-timeout",
        I,
        100,
        "seconds for a device to go away",
        "libxl waits 40 seconds for a hotplug script",
    ),
    Option(
        _DEV,
        "pci-passthrough-strict-check",
        B,
        True,
        "refuse PCI devices that share a reset",
        "libxl decides it; `permissive` is a setting of a device",
    ),
    Option(
        _DEV,
        "pscsi-device-mask",
        L,
        ["*"],
        "SCSI devices that guests may be given",
        "libxl has no paravirtual SCSI",
    ),
    Option(
        _DEV,
        "xsm_module_name",
        S,
        "dummy",
        "security module: dummy, acm or flask",
        "the hypervisor's own command line chooses it (`flask=`)",
    ),
    Option(
        _DEV,
        "resource-label-change-script",
        S,
        None,
        "run when a label of a resource changed",
        "ACM labels are gone from Xen since 4.2; use Flask",
    ),
    Option(_STORE, "xend-domains-path", S, "/var/lib/xend/domains", "managed domains"),
    Option(_STORE, "xend-state-path", S, "/var/lib/xend/state", "objects of the Xen-API"),
    Option(_STORE, "xend-storage-path", S, "/var/lib/xend/storage", "disks of the Xen-API"),
    Option(
        _STORE,
        "xend-security-path",
        S,
        "/var/lib/xend/security",
        "security policies",
        "ACM is gone from Xen since 4.2; use Flask",
    ),
    Option(_NEW, "xend-rest-unix-server", B, True, "REST on the socket `xend-rest-unix-path`"),
    Option(_NEW, "xend-rest-unix-path", S, "/var/run/xend/rest.sock", "that socket"),
    Option(
        _NEW,
        "xend-rest-paths",
        S,
        "/var/lib/xen/save:/var/lib/xend/save:/var/xen/dump",
        "where files that REST's clients name (saved memory, cores) may lie, separated by `:`",
    ),
    Option(
        _NEW,
        "xend-rest-image-paths",
        S,
        "/boot:/dev:/srv:/mnt:/media:/xen:/home/xen:/var/xen:/var/lib/xen:/var/lib/xend:"
        "/var/lib/libvirt/images:/etc/xen/scripts:/usr/lib/xen*:/usr/libexec/xen*:/usr/lib/grub*:"
        "/usr/share/qemu:/usr/share/seabios:/usr/share/ovmf:/usr/bin/pygrub",
        "where files that configurations sent over REST name (disks, kernels, boot loaders, "
        "scripts) may lie, separated by `:`, with `*` as in a shell; root of this host, on the "
        "Unix socket, may name any",
    ),
    Option(
        _NEW,
        "xend-rest-unix-roles",
        L,
        [],
        "who beside root may use that socket: entries `(user|group NAME viewer|operator|admin)`; "
        "with any, the socket's mode is 0666 and the kernel's word about the peer decides",
    ),
    Option(_NEW, "xend-rest-tcp-server", B, False, "REST on TCP, for tokens and certificates"),
    Option(_NEW, "xend-rest-tcp-address", S, "localhost", "its address; empty means every one"),
    Option(_NEW, "xend-rest-tcp-port", I, 8443, "its port", low=1, high=65535),
    Option(_NEW, "xend-rest-tls", B, True, "TLS 1.3 there; only a loopback address may be without"),
    Option(
        _NEW,
        "xend-rest-tls-key-file",
        S,
        None,
        f"its key; {_TLS_PAIR}; without them a self-signed pair is made in /var/lib/xend/rest",
    ),
    Option(_NEW, "xend-rest-tls-cert-file", S, None, "see the one above"),
    Option(
        _NEW,
        "xend-rest-client-certs",
        S,
        None,
        "a directory with the certificates of clients: `viewer/NAME.pem`, `operator/NAME.pem`, "
        "`admin/NAME.pem`",
    ),
    Option(
        _NEW,
        "xend-rest-cors-origins",
        L,
        [],
        "web origins (https://panel.example) whose pages may call; none by default",
    ),
    Option(
        _NEW,
        "xend-console-ring",
        B,
        False,
        "read every guest's console all the time, so that REST's scrollback is complete; "
        "`xm console` is locked out then",
    ),
)
