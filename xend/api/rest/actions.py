"""What can be done to a domain: one table from the word in the URL to the service's verb."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field


class Arguments(BaseModel):
    """The JSON body of an action; most take none."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Pausable(Arguments):
    paused: bool = False
    """Leave it paused."""


class Rename(Arguments):
    new: str = Field(min_length=1, max_length=255, pattern=r"^[A-Za-z0-9_\-.:+]+$")


class Trigger(Arguments):
    trigger: Literal["nmi", "reset", "init", "s3resume", "power"]
    vcpu: int = Field(default=0, ge=0, le=4095)


class SysRq(Arguments):
    key: str = Field(min_length=1, max_length=1)


@dataclass(frozen=True, slots=True)
class Action:
    verb: str
    """Of DomainService.submit."""
    arguments: type[Arguments] = Arguments
    fixed: Mapping[str, Any] = field(default_factory=dict)
    summary: str = ""


ACTIONS: Final[Mapping[str, Action]] = {
    "start": Action("start", Pausable, summary="Start a managed domain"),
    "shutdown": Action("shutdown", fixed={"request": "poweroff"}, summary="Ask it to power off"),
    "reboot": Action("shutdown", fixed={"request": "reboot"}, summary="Ask it to reboot"),
    "destroy": Action("destroy", summary="End it at once"),
    "reset": Action("reset", summary="End it at once and start it anew"),
    "pause": Action("pause", summary="Take its CPUs away"),
    "unpause": Action("unpause", summary="Give its CPUs back"),
    "suspend": Action("suspend", summary="Write a managed domain's memory to disk and end it"),
    "resume": Action("resume", Pausable, summary="Bring a suspended domain back"),
    "rename": Action("rename", Rename, summary="Give it another name"),
    "trigger": Action("trigger", Trigger, summary="Send an NMI, a power button press …"),
    "sysrq": Action("sysrq", SysRq, summary="Send a magic SysRq key"),
}
