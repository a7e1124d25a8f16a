"""libxl's events, on the thread that owns the context: one turn at a time.

Adds what libxl has no event for: a watch on @introduceDomain, so that domains of any toolstack
are noticed.  XenStore does not say which domain it is about; one hypercall lists them, and the
comparison with the known ones is made in C.
"""

from __future__ import annotations

from collections.abc import Iterator

from xend.libxl._xl import ffi, lib
from xend.libxl.ctx import DOMINFO, Context, DominfoTuple
from xend.libxl.handle import XlError

_ROOM = 64
_ALL_DOMIDS = 0x8000


class Poller:
    """To be made, used and closed by one thread."""

    def __init__(self, context: Context, wake_fd: int) -> None:
        """`wake_fd`: an eventfd by which another thread ends a `wait`.

        Raises XlError when xenstored does not answer.
        """
        self._context = context
        self._known = bytearray(_ALL_DOMIDS // 8)
        self._known[0] |= 1  # Domain-0: lives as long as we do
        self._enabled: dict[int, object] = {}
        self._poller = lib.xend_poller_new(context.raw, wake_fd)
        if self._poller == ffi.NULL:
            raise XlError("watch @introduceDomain", lib.ERROR_FAIL, context.take_log())

    def close(self) -> None:
        for generator in self._enabled.values():
            lib.libxl_evdisable_domain_death(self._context.raw, generator)
        self._enabled.clear()
        lib.xend_poller_free(self._poller)

    def wait(self) -> bool:
        """Sleeps until something happened; True: there may be new domains.

        Raises OSError or XlError when events can no longer be had.
        """
        answer = lib.xend_poller_wait(self._poller)
        if answer < 0:
            raise OSError(-answer, "cannot wait for libxl's events")
        if self._context.disaster:
            raise OSError(self._context.disaster, "libxl has lost its events")
        return bool(answer & 2)

    def new_domains(self) -> Iterator[DominfoTuple]:
        """Those that were not there at the last call; from now on their end is reported."""
        out = ffi.new("xend_dominfo[]", _ROOM)
        found = _ROOM
        while found == _ROOM:
            known = ffi.from_buffer(self._known)
            found = lib.xend_new_domains(self._context.raw, known, len(self._known), out, _ROOM)
            if found < 0:
                raise XlError("libxl_list_domain", lib.ERROR_FAIL, self._context.take_log())
            for record in DOMINFO.iter_unpack(ffi.buffer(out, found * DOMINFO.size)):
                self._enable(record[0])
                yield record

    def _enable(self, domid: int) -> None:
        generator = ffi.new("libxl_evgen_domain_death **")
        rc = lib.libxl_evenable_domain_death(self._context.raw, domid, 0, generator)
        self._context.check("watch for the end of a domain", rc)
        self._enabled[domid] = generator[0]
        self._known[domid // 8] |= 1 << domid % 8

    def forget(self, domid: int) -> None:
        """The domain is gone; its number may come again."""
        generator = self._enabled.pop(domid, None)
        if generator is not None:
            lib.libxl_evdisable_domain_death(self._context.raw, generator)
            self._known[domid // 8] &= ~(1 << domid % 8) & 0xFF

    def events(self) -> Iterator[tuple[bool, int, int]]:
        """(is it a death rather than a shutdown, domid, reason of the shutdown or -1)."""
        kind, domid, reason = ffi.new("int *"), ffi.new("uint32_t *"), ffi.new("int *")
        while True:
            rc = lib.xend_next_event(self._context.raw, kind, domid, reason)
            if rc == lib.ERROR_NOT_READY:
                return
            self._context.check("libxl_event_check", rc)
            if kind[0] == lib.LIBXL_EVENT_TYPE_DOMAIN_DEATH:
                yield True, domid[0], -1
            elif kind[0] == lib.LIBXL_EVENT_TYPE_DOMAIN_SHUTDOWN:
                yield False, domid[0], reason[0]
