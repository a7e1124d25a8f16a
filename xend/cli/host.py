"""Commands about the host and the daemon: info, dmesg, log, debug-keys."""

from __future__ import annotations

from xend.cli.failures import CommandFailed, UsageError
from xend.cli.records import as_json, text_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from xend.cli.app import Xm

CONFIG_FILE = "/etc/xen/xend-config.sxp"


def info(xm: Xm, args: list[str]) -> None:
    flags, _ = xm.flags("info", args, "c:config n:numa :json")
    if "config" in flags:
        _show_config(xm)
        return
    items = xm.call("xend.node.info", 1 if "numa" in flags else 0)[1:]
    if "json" in flags:
        xm.print(as_json({item[0]: item[1] if len(item) > 1 else None for item in items}))
        return
    for item in items:
        xm.print(f"{item[0]:<23s}: {_value(item)}")


def _value(item: list[Any]) -> str:
    return "(none)" if len(item) < 2 else text_of(item[1])


def dmesg(xm: Xm, args: list[str]) -> None:
    flags, params = xm.flags("dmesg", args, "c:clear")
    if params:
        raise UsageError("No parameter required", "dmesg")
    text = xm.call("xend.node.dmesg.clear" if "clear" in flags else "xend.node.dmesg.info")
    # A line that the hypervisor has not finished is finished here, for the prompt's sake.
    xm.out.write(text if text.endswith("\n") else text + "\n")


def log(xm: Xm, _args: list[str]) -> None:
    xm.print(xm.call("xend.node.log"))


def debug_keys(xm: Xm, args: list[str]) -> None:
    xm.call("xend.node.send_debug_keys", args[0])


def _show_config(xm: Xm) -> None:
    """The configuration file as this program reads it, among the defaults, by name.

    The names are those of the original's options object, whose members it listed; so is their
    order, in which the file's own settings stand where that object's member `config` was.
    """
    path = xm.env.get("XEND_CONFIG", CONFIG_FILE)
    for name, value in _BEFORE_CONFIG:
        _show_setting(xm, name, value)
    for setting in _read_config(xm, path):
        _show_setting(xm, setting[0], _value(setting))
    for name, value in (("config_default", CONFIG_FILE), ("config_path", path), *_AFTER_CONFIG):
        _show_setting(xm, name, value)


def _show_setting(xm: Xm, name: str, value: str) -> None:
    xm.print(f"{name:<38s}: {value}")


def _read_config(xm: Xm, path: str) -> list[Any]:
    from xend.config import sxp
    from xend.errors import ConfigError

    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            settings = sxp.parse(file.read(), file=path)
    except OSError:
        xm.err.write(f"xend [ERROR] Config file does not exist: {path}\n")
        return []
    except ConfigError as error:
        raise CommandFailed(str(error)) from error
    return [item for item in settings if isinstance(item, list) and item]


_BEFORE_CONFIG: tuple[tuple[str, str], ...] = (
    ("__doc__", "Default path to the config file."),
    ("__module__", "xen.xend.XendOptions"),
    ("block_script_dir", "/etc/xen/scripts"),
)
_AFTER_CONFIG: tuple[tuple[str, str], ...] = (
    ("config_var", "XEND_CONFIG"),
    ("device_create_timeout_default", "100"),
    ("device_destroy_timeout_default", "100"),
    ("dom0_min_mem_default", "0"),
    ("dom0_vcpus_default", "0"),
    ("external_migration_tool_default", ""),
    ("logfile_default", "/var/log/xen/xend.log"),
    ("loglevel_default", "DEBUG"),
    ("network_script_dir", "/etc/xen/scripts"),
    ("pci_dev_assign_strict_check_default", "True"),
    ("qemu_dm_logrotate_count", "10"),
    ("reserved_memory_default", "0"),
    ("vif_script", "vif-bridge"),
    ("vncpasswd_default", "None"),
    ("xen_api_server_default", "[['unix']]"),
    ("xend_address_default", ""),
    ("xend_domains_path_default", "/var/lib/xend/domains"),
    ("xend_http_server_default", "no"),
    ("xend_port_default", "8000"),
    ("xend_pscsi_device_mask", "['*']"),
    ("xend_relocation_address_default", ""),
    ("xend_relocation_hosts_allow_default", ""),
    ("xend_relocation_port_default", "8002"),
    ("xend_relocation_server_default", "no"),
    ("xend_relocation_ssl_port_default", "8003"),
    ("xend_relocation_ssl_server_default", "no"),
    ("xend_security_path_default", "/var/lib/xend/security"),
    ("xend_state_path_default", "/var/lib/xend/state"),
    ("xend_storage_path_default", "/var/lib/xend/storage"),
    ("xend_tcp_xmlrpc_server_address_default", "localhost"),
    ("xend_tcp_xmlrpc_server_default", "no"),
    ("xend_tcp_xmlrpc_server_port_default", "8006"),
    ("xend_udev_event_server_default", "no"),
    ("xend_unix_path_default", "/var/lib/xend/xend-socket"),
    ("xend_unix_server_default", "no"),
    ("xend_unix_xmlrpc_server_default", "yes"),
    ("xend_vnc_listen_default", "127.0.0.1"),
    ("xend_vnc_tls", "0"),
    ("xend_vnc_x509_cert_dir", "/etc/xen/vnc"),
    ("xend_vnc_x509_verify", "0"),
    ("xsm_module_default", "dummy"),
)
