"""Configurations of all shapes, for property tests.  Each setting's values come from its row."""

from __future__ import annotations

from typing import Any, Final

from hypothesis import strategies as st

from xend.model.devices import Disk, IoPorts, Irq, Pci, Vfb, Vif, Vkbd
from xend.model.domain import DomainConfig, DomainType, HostAction, ShutdownAction
from xend.model.fields import Kind
from xend.model.peripherals import (
    P9,
    Channel,
    Connector,
    IoMemory,
    PvCalls,
    SoundDevice,
    SoundParameters,
    SoundStream,
    UsbController,
    UsbDevice,
    Vdispl,
    VirtualNode,
    Vsnd,
    Vtpm,
)
from xend.model.platform import PLATFORM, VIRIDIAN, PlatformSetting

NAMES: Final = st.from_regex(r"[a-z][a-z0-9_.-]{0,10}", fullmatch=True)
TEXTS: Final = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=12)
PLAIN: Final = st.from_regex(r"[a-zA-Z/][a-zA-Z0-9/_. =:-]{0,10}[a-z0-9]", fullmatch=True)
"""Texts that any file can hold."""
UUIDS: Final = st.uuids()
MACS: Final = st.from_regex(r"00:16:3e(:[0-9a-f]{2}){3}", fullmatch=True)
BACKENDS: Final = NAMES | st.just("")
FLAGS: Final = st.sampled_from([None, True, False])
JSON: Final = st.none() | st.booleans() | st.integers(-(2**40), 2**40) | TEXTS | st.lists(TEXTS)


def few(values: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(values, max_size=2).map(tuple)


def values_of(row: PlatformSetting) -> st.SearchStrategy[Any]:
    """What a file may set this to."""
    setting = row.setting
    match row.kind:
        case Kind.FLAG:
            return st.sampled_from([0, 1])
        case Kind.INT | Kind.MIB:
            low = 1 if setting.low is None else max(1, setting.low)
            return st.integers(low, 1000 if setting.high is None else setting.high)
        case Kind.CHOICE:
            choices = [choice for choice in setting.choices if choice != row.unsaid]
            if setting.xm:
                return st.sampled_from([setting.choices.index(choice) for choice in choices])
            return st.sampled_from(choices)
        case Kind.TEXTS:
            return st.lists(PLAIN, min_size=1, max_size=2)
        case Kind.TEXT_OR_TEXTS:
            return PLAIN | st.lists(PLAIN, min_size=1, max_size=2)
        case Kind.SPECIAL:
            return _SPECIAL[row.name]
    return PLAIN


_SPECIAL: Final[dict[str, st.SearchStrategy[Any]]] = {
    "viridian": st.sampled_from([0, 1])
    | st.lists(st.sampled_from(VIRIDIAN), min_size=1, unique=True).map(
        lambda words: sorted(words, key=VIRIDIAN.index)
    ),
    "gfx_passthru": st.sampled_from([0, 1, "igd"]),
    "rdm": st.sampled_from(["strategy=host", "strategy=host,policy=relaxed"]),
    "mca_caps": st.just(["lmce"]),
    "ms_vm_genid": st.binary(min_size=16, max_size=16).filter(any).map(bytes.hex),
    "seclabel": PLAIN,
    "init_seclabel": PLAIN,
}


def platforms(rows: list[PlatformSetting]) -> st.SearchStrategy[dict[str, Any]]:
    return st.lists(st.sampled_from(rows), max_size=6, unique=True).flatmap(
        lambda some: st.fixed_dictionaries({row.name: values_of(row) for row in some})
    )


DISKS: Final = st.builds(
    Disk,
    uuid=UUIDS,
    device_class=st.sampled_from(["vbd", "tap", "tap2"]),
    scheme=st.sampled_from(["tap:aio", "tap2:vhd"]),
    path=TEXTS,
    vdev=st.sampled_from(["xvda", "hdc", "51712", "sda1"]),
    access=st.sampled_from(["r", "w", "w!"]),
    device_type=st.sampled_from(["disk", "cdrom"]),
    backend=BACKENDS,
    bootable=st.booleans(),
    script=TEXTS,
    qdisk=st.booleans(),
    discard=FLAGS,
    trusted=FLAGS,
    direct_io_safe=st.booleans(),
    specification=st.sampled_from(["", "virtio"]),
)
VIFS: Final = st.builds(
    Vif,
    uuid=UUIDS,
    mac=MACS,
    bridge=NAMES,
    ip=TEXTS,
    rate=TEXTS,
    mtu=st.none() | st.integers(68, 9000),
    devid=st.none() | st.integers(0, 9),
    trusted=FLAGS,
)
VFBS: Final = st.builds(
    Vfb,
    uuid=UUIDS,
    type=st.sampled_from(["vnc", "sdl"]),
    vncdisplay=st.none() | st.integers(0, 99),
    vncunused=st.booleans(),
    vncpasswd=TEXTS,
    keymap=NAMES,
)
VKBDS: Final = st.builds(
    Vkbd,
    uuid=UUIDS,
    backend_type=st.sampled_from(["", "qemu", "linux"]),
    feature_abs_pointer=st.booleans(),
    width=st.integers(0, 4096),
)
PCIS: Final = st.builds(
    Pci,
    uuid=UUIDS,
    domain=st.integers(0, 0xFFFF),
    bus=st.integers(0, 0xFF),
    slot=st.integers(0, 0x1F),
    func=st.integers(0, 7),
    vslot=st.none() | st.integers(0, 0x1F),
    options=st.dictionaries(NAMES, NAMES, max_size=2),
)
SOUND_PARAMETERS: Final = st.builds(
    SoundParameters,
    sample_rates=few(st.integers(8000, 96000)),
    sample_formats=few(st.sampled_from(["s16_le", "u8"])),
    channels_min=st.integers(0, 2),
)
PERIPHERALS: Final[dict[str, st.SearchStrategy[tuple[Any, ...]]]] = {
    "usbctrls": few(
        st.builds(
            UsbController,
            backend=BACKENDS,
            type=st.sampled_from(["auto", "pv", "devicemodel", "qusb"]),
            version=st.integers(0, 3),
            ports=st.integers(0, 31),
        )
    ),
    "usbdevs": few(
        st.builds(
            UsbDevice,
            hostbus=st.integers(0, 255),
            hostaddr=st.integers(0, 255),
            controller=st.none() | st.integers(0, 3),
            port=st.integers(0, 31),
        )
    ),
    "vtpms": few(st.builds(Vtpm, backend=NAMES, uuid=UUIDS)),
    "p9s": few(st.builds(P9, tag=NAMES, path=PLAIN, backend=BACKENDS)),
    "pvcallsifs": few(st.builds(PvCalls, backend=BACKENDS)),
    "channels": few(
        st.builds(Channel, name=NAMES, connection=st.just("pty"), backend=BACKENDS)
        | st.builds(Channel, name=NAMES, connection=st.just("socket"), path=PLAIN)
    ),
    "vdispls": few(
        st.builds(
            Vdispl,
            be_alloc=st.booleans(),
            connectors=few(
                st.builds(
                    Connector,
                    unique_id=NAMES,
                    width=st.integers(1, 4096),
                    height=st.integers(1, 4096),
                )
            ),
        )
    ),
    "vsnds": few(
        st.builds(
            Vsnd,
            short_name=NAMES,
            long_name=NAMES,
            params=SOUND_PARAMETERS,
            pcms=few(
                st.builds(
                    SoundDevice,
                    name=NAMES,
                    params=SOUND_PARAMETERS,
                    streams=few(
                        st.builds(
                            SoundStream,
                            unique_id=NAMES,
                            type=st.sampled_from(["p", "c"]),
                            params=SOUND_PARAMETERS,
                        )
                    ),
                )
            ),
        )
    ),
    "dtdevs": few(PLAIN),
    "iomem": few(
        st.builds(
            IoMemory,
            start=st.integers(0, 2**40),
            number=st.integers(1, 2**20),
            gfn=st.none() | st.integers(0, 2**40),
        )
    ),
    "vnuma": few(
        st.builds(
            VirtualNode,
            memory=st.integers(0, 2**30),
            pnode=st.integers(0, 3),
            vcpus=st.sets(st.integers(0, 63), max_size=4).map(sorted).map(tuple),
            distances=few(st.integers(10, 40)),
        )
    ),
}
CONFIGS: Final = st.builds(
    DomainConfig,
    name=NAMES,
    uuid=UUIDS,
    type=st.sampled_from(DomainType),
    description=TEXTS,
    memory=st.integers(1, 2**30),
    maxmem=st.just(0) | st.just(2**31),
    vcpus=st.integers(1, 64),
    vcpus_online=st.none() | st.integers(1, 64),
    cpu_weight=st.integers(1, 65535),
    cpu_cap=st.integers(0, 400),
    affinity_soft=few(few(st.integers(0, 63))),
    pool=NAMES,
    kernel=TEXTS,
    ramdisk=TEXTS,
    cmdline=TEXTS,
    bootloader=TEXTS,
    bootloader_args=TEXTS,
    on_poweroff=st.sampled_from(ShutdownAction),
    on_watchdog=st.sampled_from(ShutdownAction),
    on_soft_reset=st.sampled_from(ShutdownAction),
    on_xend_stop=st.sampled_from(HostAction),
    features=TEXTS,
    platform=platforms(list(PLATFORM))
    | st.dictionaries(st.sampled_from(["acpi", "boot", "loader", "new_thing"]), JSON),
    other=st.dictionaries(st.sampled_from(["target", "anything"]), JSON, max_size=2),
    disks=few(DISKS),
    vifs=few(VIFS),
    vfbs=few(VFBS),
    vkbds=few(VKBDS),
    pcis=few(PCIS),
    ioports=few(st.builds(IoPorts, uuid=UUIDS, first=st.integers(0, 9), last=st.integers(0, 9))),
    irqs=few(st.builds(Irq, uuid=UUIDS, irq=st.integers(0, 255))),
    **PERIPHERALS,
)
"""Everything that the model can hold, sensible or not."""
