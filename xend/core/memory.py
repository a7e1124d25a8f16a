"""The one memory broker: free memory is promised once.

A create reserves what it needs before it begins and gives the reservation back when it is built
(the memory is then the domain's) or has failed.  While it is being built, what its domain has
already got is counted once, not twice.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from xend.core.ports import Clock, Hypervisor, MemoryOutlook
from xend.core.snapshot import Snapshot
from xend.core.views import ServiceSettings
from xend.errors import ResourceError
from xend.model.domain import DomainConfig
from xend.model.units import DOM0, KiB

log = logging.getLogger("xend.memory")

POLL_SECONDS = 0.1
"""Scrubbing and ballooning send no event."""
LOOK_SECONDS = 1.0
"""Others build, too: a look that is older is not relied on."""


@dataclass(frozen=True, slots=True)
class Look:
    """What something takes, and what there was a moment ago."""

    outlook: MemoryOutlook
    at: float
    released: int
    """How many promises had been given back by then."""


@dataclass(frozen=True, slots=True)
class _Supply:
    """One look at the host, KiB."""

    free: int
    """Not promised to anybody."""
    coming: int
    """Being scrubbed, or held by domains that are dying: free in a moment."""
    dom0: int


class MemoryBroker:
    def __init__(
        self,
        hypervisor: Hypervisor,
        snapshot: Snapshot,
        clock: Clock,
        settings: ServiceSettings,
    ) -> None:
        self._hypervisor = hypervisor
        self._snapshot = snapshot
        self._clock = clock
        self._settings = settings
        self._promised: dict[str, KiB] = {}
        self._released = 0

    @property
    def promised(self) -> dict[str, KiB]:
        """uuid → KiB, for whoever wants to see them."""
        return dict(self._promised)

    async def reserve(self, key: str, look: Look) -> None:
        """What it takes, for `key`, as long as that is not released.

        Waits for memory that is on its way, as long as more and more of it is free; shrinks dom0
        if that is allowed; or raises ResourceError(needed, available) in the original's words."""
        needed = look.outlook.needed
        if (
            look.released != self._released
            or self._clock.monotonic() - look.at > LOOK_SECONDS
            or (supply := self._supply(look.outlook)).free < needed
        ):
            supply = self._supply((await self.look()).outlook)
        patience = self._settings.memory_wait
        deadline, most = self._clock.monotonic() + patience, supply.free
        while True:
            if supply.free >= needed:  # No await since the promises were counted.
                self._promised[key] = needed
                return
            self._check_possible(needed, supply)
            if self._clock.monotonic() >= deadline:
                raise self._refusal(needed, supply)
            if supply.free + supply.coming < needed:
                await self._shrink_dom0(needed, supply)
            await self._clock.sleep(POLL_SECONDS)
            supply = self._supply((await self.look()).outlook)
            if supply.free > most:  # Gigabytes take their time.
                deadline, most = self._clock.monotonic() + patience, supply.free

    def release(self, key: str) -> None:
        if self._promised.pop(key, None) is not None:
            self._released += 1

    async def available(self) -> KiB:
        """Free and not promised."""
        return KiB(self._supply((await self.look()).outlook).free)

    async def look(self, config: DomainConfig | None = None) -> Look:
        """What building `config` takes, and what there is."""
        while True:
            before, at = self._released, self._clock.monotonic()
            outlook = await self._hypervisor.memory_outlook(config)
            if before == self._released:
                return Look(outlook, at, before)
            # A build ended meanwhile: its memory may be in neither its promise nor these numbers.

    def _supply(self, outlook: MemoryOutlook) -> _Supply:
        """Of a look after which no promise has been given back."""
        built: dict[str, int] = {}
        dying = 0
        dom0 = 0
        for info in outlook.domains:
            if info.domid == DOM0:
                dom0 = info.memory
            elif info.dying:
                dying += info.memory
            elif not info.shutdown:  # A dead one may have the uuid of what is being built.
                built[info.uuid] = built.get(info.uuid, 0) + info.memory + info.outstanding
        outstanding = sum(
            max(0, needed - built.get(uuid, 0)) for uuid, needed in self._promised.items()
        )
        return _Supply(
            free=max(0, outlook.free - outstanding),
            coming=outlook.scrub + dying,
            dom0=dom0,
        )

    def _check_possible(self, needed: KiB, supply: _Supply) -> None:
        most = supply.free + supply.coming
        if self._settings.dom0_ballooning:
            most += max(0, supply.dom0 - self._settings.dom0_min_mem)
        if most < needed:
            raise self._refusal(needed, supply)

    def _refusal(self, needed: KiB, supply: _Supply) -> ResourceError:
        have = supply.free + supply.coming
        minimum = self._settings.dom0_min_mem
        if not self._settings.dom0_ballooning:
            text = (
                "Not enough free memory and enable-dom0-ballooning is False, so I cannot release "
                f"any more.  I need {needed} KiB but only have {supply.free}."
            )
        elif supply.dom0 - minimum + have < needed:
            left = max(0, supply.dom0 - minimum) + have
            text = (
                f"I need {needed} KiB, but dom0_min_mem is {minimum} and shrinking to "
                f"{minimum} KiB would leave only {left} KiB free."
            )
            have = left
        else:
            text = "Not enough memory is available, and dom0 cannot be shrunk any further"
        return ResourceError(text, what="memory", needed=int(needed), available=int(have))

    async def _shrink_dom0(self, needed: KiB, supply: _Supply) -> None:
        missing = needed - supply.free - supply.coming
        target = max(supply.dom0 - missing, self._settings.dom0_min_mem)
        if target < supply.dom0:
            log.info("Balloon: setting dom0 target to %d MiB.", target // 1024)
            await self._hypervisor.set_memory_target(DOM0, KiB(target))
