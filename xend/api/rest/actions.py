"""What can be done to a domain: one table from the word in the URL to the service's verb."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from xend.api.rest.access import Role
from xend.core.views import DomainView
from xend.errors import InvalidArgument
from xend.model.status import PowerState
from xend.model.units import DOM0


class Arguments(BaseModel):
    """The JSON body of an action; most take none."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    def given(self) -> dict[str, Any]:
        """For the verb."""
        return self.model_dump()


class Pausable(Arguments):
    paused: bool = Field(default=False, description="leave it paused")


class Rename(Arguments):
    new: str = Field(
        min_length=1, max_length=255, pattern=r"^[A-Za-z0-9_\-.:+]+$", examples=["ariel"]
    )


class Trigger(Arguments):
    trigger: Literal["nmi", "reset", "init", "s3resume", "power"]
    vcpu: int = Field(default=0, ge=0, le=4095)


class SysRq(Arguments):
    key: str = Field(min_length=1, max_length=1, examples=["s"])


class Save(Arguments):
    path: Path = Field(
        strict=False,
        description="on the host, absolute",
        examples=["/var/lib/xen/save/prospero.save"],
    )
    checkpoint: bool = Field(default=False, description="let it run on afterwards")


class Migrate(Arguments):
    host: str = Field(
        min_length=1, max_length=253, pattern=r"^[A-Za-z0-9_.:%\-]+$", examples=["host2.example"]
    )
    port: int = Field(default=0, ge=0, le=65535, description="0: as xend-config.sxp says")
    live: bool = Field(default=False, description="let it run while its memory is sent")
    tls: bool | None = Field(default=None, description="null: as xend-config.sxp says")
    change_home: bool = Field(
        default=False, description="a managed domain's configuration goes along"
    )


class Dump(Arguments):
    path: Annotated[Path, Field(strict=False)] | None = Field(
        default=None, description="on the host; otherwise in /var/xen/dump", examples=[None]
    )
    live: bool = Field(default=False, description="let it run meanwhile")


_LIVING: Final = frozenset({PowerState.RUNNING, PowerState.PAUSED, PowerState.CRASHED})
_ANY_DOMID: Final = _LIVING | {PowerState.SHUTDOWN, PowerState.SUSPENDED, PowerState.UNKNOWN}


@dataclass(frozen=True, slots=True)
class Action:
    verb: str
    """Of DomainService.submit."""
    summary: str
    arguments: type[Arguments] = Arguments
    fixed: Mapping[str, Any] = field(default_factory=dict)
    states: frozenset[PowerState] = _ANY_DOMID
    role: Role = Role.OPERATOR
    fits: Callable[[DomainView], bool] = lambda view: True
    check: Callable[[DomainView, Mapping[str, Any]], None] = lambda view, arguments: None
    """Raises InvalidArgument for what this domain has not."""

    def possible(self, view: DomainView) -> bool:
        """Whether the verb would not refuse it for its state."""
        if view.domid == DOM0 and self.verb != "rename":
            return False
        return view.power_state in self.states and self.fits(view)


def _halted(view: DomainView) -> bool:
    return view.domid is None


def _managed(view: DomainView) -> bool:
    return view.managed


def _check_trigger(view: DomainView, arguments: Mapping[str, Any]) -> None:
    """Xen would refuse both, with no more than an errno (XEN_DOMCTL_sendtrigger)."""
    vcpu, trigger = arguments["vcpu"], arguments["trigger"]
    if vcpu >= view.vcpus:
        raise InvalidArgument(
            f"Domain '{view.name}' has no vcpu {vcpu}",
            argument="vcpu",
            value=vcpu,
            expected=f"at most {view.vcpus - 1}",
        )
    if trigger != "nmi" and view.info is not None and view.info.type != "hvm":
        raise InvalidArgument(
            f"Domain '{view.name}' has no buttons: only HVM guests have",
            argument="trigger",
            value=trigger,
            expected="nmi",
        )


ACTIONS: Final[Mapping[str, Action]] = {
    "start": Action(
        "start",
        "Start a managed domain",
        Pausable,
        states=frozenset({PowerState.HALTED}),
        fits=_halted,
    ),
    "shutdown": Action(
        "shutdown", "Ask it to power off", fixed={"request": "poweroff"}, states=_LIVING
    ),
    "reboot": Action("shutdown", "Ask it to reboot", fixed={"request": "reboot"}, states=_LIVING),
    "destroy": Action("destroy", "End it at once"),
    "reset": Action("reset", "End it at once and start it anew", states=_LIVING),
    "pause": Action("pause", "Take its CPUs away", states=_LIVING),
    "unpause": Action(
        "unpause",
        "Give its CPUs back",
        states=frozenset({PowerState.PAUSED, PowerState.RUNNING}),
    ),
    "suspend": Action(
        "suspend",
        "Write a managed domain's memory to disk and end it",
        states=frozenset({PowerState.RUNNING, PowerState.PAUSED}),
        fits=_managed,
    ),
    "resume": Action(
        "resume",
        "Bring a suspended domain back",
        Pausable,
        states=frozenset({PowerState.SUSPENDED}),
        fits=_halted,
    ),
    "save": Action(
        "save",
        "Write its memory to a file on the host and end it",
        Save,
        states=frozenset({PowerState.RUNNING, PowerState.PAUSED}),
        role=Role.ADMIN,
    ),
    "migrate": Action(
        "migrate",
        "Move it to another host",
        Migrate,
        states=frozenset({PowerState.RUNNING}),
        role=Role.ADMIN,
    ),
    "dump-core": Action("dump-core", "Write its core to the host", Dump, role=Role.ADMIN),
    "rename": Action("rename", "Give it another name", Rename, states=frozenset(PowerState)),
    "trigger": Action(
        "trigger",
        "Send an NMI, a power button press …",
        Trigger,
        states=_LIVING,
        check=_check_trigger,
    ),
    "sysrq": Action("sysrq", "Send a magic SysRq key", SysRq, states=_LIVING),
    "adopt": Action("adopt", "Apply its policies from now on, whoever made it", role=Role.ADMIN),
}
