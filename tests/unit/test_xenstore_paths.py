"""The names are an interface with libxl and the guests: spelt out here once more."""

from __future__ import annotations

import pytest

from xend.store import paths
from xend.store.paths import BackendPath

UUID = "9f5b38cd-143d-77ce-6dd9-28541d89c02f"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (paths.domain(5), "/local/domain/5"),
        (paths.name(5), "/local/domain/5/name"),
        (paths.vm_link(5), "/local/domain/5/vm"),
        (paths.vm(UUID), f"/vm/{UUID}"),
        (paths.vm_name(UUID), f"/vm/{UUID}/name"),
        (paths.vm_start_time(UUID), f"/vm/{UUID}/start_time"),
        (paths.libxl(5), "/libxl/5"),
        (paths.control_shutdown(5), "/local/domain/5/control/shutdown"),
        (paths.control_sysrq(5), "/local/domain/5/control/sysrq"),
        (paths.cpu_availability(5, 1), "/local/domain/5/cpu/1/availability"),
        (paths.memory_target(0), "/local/domain/0/memory/target"),
        (paths.memory_static_max(5), "/local/domain/5/memory/static-max"),
        (paths.memory_videoram(5), "/local/domain/5/memory/videoram"),
        (paths.console_tty(5), "/local/domain/5/console/tty"),
        (paths.console_tty(5, 1), "/local/domain/5/device/console/1/tty"),
        (paths.serial_tty(5), "/local/domain/5/serial/0/tty"),
        (paths.console_limit(5), "/local/domain/5/console/limit"),
        (paths.console_vnc_port(5), "/local/domain/5/console/vnc-port"),
        (paths.console_vnc_listen(5), "/local/domain/5/console/vnc-listen"),
        (paths.frontends(5, "vif"), "/local/domain/5/device/vif"),
        (paths.frontend(5, "vbd", 51712), "/local/domain/5/device/vbd/51712"),
        (paths.backends(0), "/local/domain/0/backend"),
        (paths.backend(5, "vif", 0), "/local/domain/0/backend/vif/5/0"),
        (paths.backend(5, "vif", 0, backend_domid=3), "/local/domain/3/backend/vif/5/0"),
        (paths.libxl_devices(5, "vif"), "/libxl/5/device/vif"),
        (paths.libxl_device(5, "vif", 0), "/libxl/5/device/vif/0"),
        (paths.state(paths.frontend(5, "vif", 0)), "/local/domain/5/device/vif/0/state"),
        (paths.hotplug_status("/x"), "/x/hotplug-status"),
        (paths.hotplug_error("/x"), "/x/hotplug-error"),
    ],
)
def test_names(path: str, expected: str) -> None:
    assert path == expected


@pytest.mark.parametrize(
    ("path", "domid"),
    [
        ("/local/domain/12", 12),
        ("/local/domain/12/device/vif/0/state", 12),
        ("/libxl/7/device", 7),
        ("/local/domain", None),
        ("/local/domain/x/name", None),
        ("/local/domain//name", None),
        ("/vm/1/name", None),
        ("@releaseDomain", None),
    ],
)
def test_the_domain_of_an_event(path: str, domid: int | None) -> None:
    assert paths.domid_of(path) == domid


def test_the_uuid_of_an_event() -> None:
    assert paths.uuid_of(f"/vm/{UUID}/name") == UUID
    assert paths.uuid_of(f"/vm/{UUID}") == UUID
    assert paths.uuid_of("/vm") is None
    assert paths.uuid_of("/vm/") is None
    assert paths.uuid_of("/local/domain/5") is None


def test_the_parts_of_a_back_end() -> None:
    path = paths.backend(5, "vbd", 51712, backend_domid=2)
    assert paths.parse_backend(path) == BackendPath(2, "vbd", 5, 51712)
    assert paths.parse_backend(f"{path}/state") == BackendPath(2, "vbd", 5, 51712)
    for other in (
        "/local/domain/2/backend/vbd/5",
        "/local/domain/2/backend/vbd/5/x",
        "/local/domain/2/device/vbd/5/1/2/3",
        "@releaseDomain",
    ):
        assert paths.parse_backend(other) is None
