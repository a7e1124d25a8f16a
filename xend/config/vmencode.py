"""The model as a `(vm …)`, as xm sends it: what `decode_vm` reads again, with nothing lost."""

from __future__ import annotations

from xend.config import sxp
from xend.config.beyond import encode_beyond
from xend.config.devicesxp import Maker
from xend.config.domainsxp import cpus_tree, devices_tree, image_tree, online_mask, tail_tree
from xend.config.kept import showable
from xend.config.sxpkeys import KEPT
from xend.config.vmsxp import decode_vm
from xend.errors import ConfigError
from xend.model.domain import DomainConfig


def encode_vm(config: DomainConfig, maker: Maker | None = None) -> list[sxp.Value]:
    """Memory in MiB, rounded down, with the exact number in the child `(xend …)`.

    `maker` is the reader's: what it makes up of what is left out is not lost.
    """
    maker = maker or Maker()
    tree: list[sxp.Value] = [
        "vm",
        ["name", config.name],
        ["memory", max(1, config.memory // 1024)],
        ["maxmem", max(1, config.max_memory // 1024)],
        ["shadow_memory", config.shadow_memory // 1024],
        ["on_poweroff", config.on_poweroff.value],
        ["on_reboot", config.on_reboot.value],
        ["on_crash", config.on_crash.value],
        ["on_xend_start", config.on_xend_start.value],
        ["on_xend_stop", config.on_xend_stop.value],
    ]
    texts = [("features", config.features), ("description", config.description)]
    tree += [[name, text] for name, text in texts if text]
    if config.vcpus_online is not None or "vcpu_avail" in config.other:
        tree.append(["vcpu_avail", online_mask(config)])
    tree += [["vcpus", config.vcpus], ["uuid", str(config.uuid)]]
    if config.affinity:
        tree.append(["cpus", cpus_tree(config)])
    tree += [["cpu_cap", config.cpu_cap], ["cpu_weight", config.cpu_weight]]
    tree.append(["pool_name", config.pool])
    if config.bootloader:
        tree += [["bootloader", config.bootloader], ["bootloader_args", config.bootloader_args]]
    kept = showable(config.other)
    tree += [[name, kept[name]] for name in KEPT if name in kept]
    tree.append(["image", image_tree(config)])
    tail = tail_tree(config)
    devices = devices_tree(config, running=False)
    try:
        again = _read([*tree, *devices, *tail], maker)
    except ConfigError:
        # xm refuses some devices beside one another (two empty drives); the model need not.
        devices, again = [], _read([*tree, *tail], maker)
    return [*tree, *devices, *tail, *encode_beyond(config, again)]


def _read(tree: list[sxp.Value], maker: Maker) -> DomainConfig:
    return decode_vm(sxp.parse_one(sxp.show(tree)), maker)
