"""Commands that act on one domain at once."""

from __future__ import annotations

from xend.cli.failures import Fault, OptionError, UsageError
from xend.cli.records import child_value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from xend.cli.app import Xm


def delete(xm: Xm, args: list[str]) -> None:
    xm.call("xend.domain.delete", args[0])


def destroy(xm: Xm, args: list[str]) -> None:
    xm.call("xend.domain.destroy", args[0])


def suspend(xm: Xm, args: list[str]) -> None:
    xm.call("xend.domain.suspend", args[0])


def reset(xm: Xm, args: list[str]) -> None:
    xm.call("xend.domain.reset", args[0])


def pause(xm: Xm, args: list[str]) -> None:
    """The flag lets `domstate` tell an administrator's pause from others."""
    xm.call("xend.domain.pause", args[0])
    xm.call("xend.domain.setpauseflag", args[0], True)


def unpause(xm: Xm, args: list[str]) -> None:
    xm.call("xend.domain.unpause", args[0])
    xm.call("xend.domain.setpauseflag", args[0], False)


def rename(xm: Xm, args: list[str]) -> None:
    xm.call("xend.domain.setName", args[0], args[1])


def sysrq(xm: Xm, args: list[str]) -> None:
    xm.call("xend.domain.send_sysrq", args[0], args[1])


def trigger(xm: Xm, args: list[str]) -> None:
    vcpu = int(args[2]) if len(args) == 3 else 0
    xm.call("xend.domain.send_trigger", args[0], args[1], vcpu)


def resume(xm: Xm, args: list[str]) -> None:
    flags, params = xm.flags("resume", args, "p:paused")
    if len(params) != 1:
        raise UsageError("Wrong number of parameters", "resume")
    xm.call("xend.domain.resume", params[0], "paused" in flags)


def start(xm: Xm, args: list[str]) -> int:
    """Start a managed domain; with -c its console is attached meanwhile, as in `create -c`."""
    flags, params = xm.flags(
        "start", args, "c:console_autoconnect p:paused :vncviewer :vncviewer-autopass"
    )
    if len(params) != 1:
        raise OptionError("Expects 1 argument")
    name = params[0]

    def launch() -> None:
        xm.call("xend.domain.start", name, "paused" in flags)
        domid = running_domid(xm, name)
        if "vncviewer" in flags:
            from xend.cli.display import spawn_viewer

            spawn_viewer(xm, domid, "vncviewer-autopass" in flags)

    if "console_autoconnect" in flags:
        from xend.cli.console import with_console

        return with_console(xm, "start", name, launch)
    launch()
    return 0


def running_domid(xm: Xm, name: str) -> int:
    """Id of a domain; a fault when it does not run."""
    domid = int(child_value(xm.call("xend.domain", name), "domid", -1))
    if domid == -1:
        raise Fault(0, f"Domain '{name}' is not started")
    return domid
