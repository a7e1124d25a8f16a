"""xl's schedulers: sched-credit and sched-credit2."""

from __future__ import annotations

from xend.cli.failures import Exit, Fault
from xend.cli.xlcommand import left, number_at_start

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from xend.cli.xlcommand import Xl

_CREDIT = "d:/domain w:/weight c:/cap s/schedparam p:/cpupool t:/tslice_ms r:/ratelimit_us "
_CREDIT += "m:/migration_delay_us"
_CREDIT2 = "d:/domain w:/weight c:/cap s/schedparam p:/cpupool r:/ratelimit_us"
_SET_FAILED = "libxl_domain_sched_params_set failed."
_HEADER = f"{'Name':<33s} {'ID':>4s} {'Weight':>6s} {'Cap':>4s}"


def sched_credit(xl: Xl, args: list[str]) -> None:
    options, _ = xl.options("sched-credit", args, _CREDIT)
    given = dict(options)
    if ("p" in given or "s" in given) and {"d", "w", "c"} & set(given):
        _refuse(xl, "Specifying a cpupool or schedparam is not allowed with domain options.")
    _require_domain(xl, given)
    if "s" not in given and {"t", "r", "m"} & set(given):
        _refuse(xl, "Must specify schedparam to set schedule parameter values.")
    _schedule(xl, "credit", given)


def sched_credit2(xl: Xl, args: list[str]) -> None:
    options, _ = xl.options("sched-credit2", args, _CREDIT2)
    given = dict(options)
    if "p" in given and {"d", "w", "c"} & set(given):
        _refuse(xl, "Specifying a cpupool is not allowed with other options.")
    _require_domain(xl, given)
    _schedule(xl, "credit2", given)


def _require_domain(xl: Xl, given: dict[str, str]) -> None:
    if "d" not in given and {"w", "c"} & set(given):
        _refuse(xl, "Must specify a domain.")


def _refuse(xl: Xl, message: str) -> None:
    xl.complain(message)
    raise Exit(1)


def _schedule(xl: Xl, scheduler: str, given: dict[str, str]) -> None:
    if "s" in given:
        _parameters(xl, scheduler, given)
    elif "d" not in given:
        _list_pools(xl, scheduler, given.get("p"))
    else:
        _one_domain(xl, scheduler, given)


def _parameters(xl: Xl, scheduler: str, given: dict[str, str]) -> None:
    """Of the scheduler in a pool, Pool-0 unless another is named."""
    pool = find_pool(xl, given["p"]) if "p" in given else xl.call("xend.private.pools")[0]
    wanted = [_number(given[letter]) if letter in given else None for letter in "trm"]
    if all(value is None for value in wanted):
        _show_pool(xl, pool, scheduler)
        return
    if scheduler == "credit":  # xl reads them first, to change one of them.
        xl.require(_params(scheduler, "get"), "xend.private.pool_schedule", pool[0], scheduler)
    method = "xend.private.set_pool_schedule"
    xl.require(_params(scheduler, "set"), method, pool[0], scheduler, *wanted)


def _params(scheduler: str, verb: str) -> str:
    """What xl says when libxl's function has failed."""
    return f"libxl_sched_{scheduler}_params_{verb} failed."


def _number(text: str) -> int:
    return number_at_start(text) or 0


def find_pool(xl: Xl, word: str) -> list[Any]:
    """A pool by name or number; Exit when there is none."""
    by_number = word.isascii() and word.isdigit()
    for pool in xl.call("xend.private.pools"):
        if pool[0] == int(word) if by_number else pool[1] == word:
            found: list[Any] = pool
            return found
    xl.complain(f"unknown cpupool '{word}'")
    raise Exit(1)


def _list_pools(xl: Xl, scheduler: str, wanted: str | None) -> None:
    """Of each pool with that scheduler: its parameters, then its domains."""
    pools = [find_pool(xl, wanted)] if wanted is not None else xl.call("xend.private.pools")
    for pool in pools:
        if pool[2] != scheduler:
            continue
        _show_pool(xl, pool, scheduler)
        xl.print(_HEADER)
        domids = [row.domid for row in xl.domains() if row.pool == pool[1]]
        for share in xl.call("xend.private.shares", domids):
            _show_share(xl, share)


def _show_pool(xl: Xl, pool: list[Any], scheduler: str) -> None:
    try:
        timeslice, limit, delay = xl.call("xend.private.pool_schedule", pool[0], scheduler)
    except Fault as fault:
        xl.complain_of(fault)
        xl.complain(_params(scheduler, "get"))
        xl.print(f"Cpupool {pool[1]}: [sched params unavailable]")
        return
    if scheduler == "credit":
        xl.print(
            f"Cpupool {pool[1]}: tslice={timeslice}ms ratelimit={limit}us migration-delay={delay}us"
        )
    else:
        xl.print(f"Cpupool {pool[1]}: ratelimit={limit}us")


def _show_share(xl: Xl, share: list[Any]) -> None:
    domid, _, weight, cap = share
    row = xl.row(domid)
    name = row.name if row is not None else "(null)"
    xl.print(f"{left(name, 33)} {domid:4d} {weight:6d} {cap:4d}")


def _one_domain(xl: Xl, scheduler: str, given: dict[str, str]) -> None:
    domid = xl.find(given["d"])
    if "w" in given or "c" in given:
        values = [_number(given[letter]) if letter in given else None for letter in "wc"]
        shares = xl.call("xend.private.shares", [domid])
        if not shares or shares[0][1] != scheduler:
            _refuse(xl, _SET_FAILED)
        xl.require(_SET_FAILED, "xend.domain.sched_credit_set", domid, *values)
        return
    xl.print(_HEADER)
    shares = xl.call("xend.private.shares", [domid])
    if not shares:
        _refuse(xl, "libxl_domain_sched_params_get failed.")
    if shares[0][1] != scheduler:
        _refuse(xl, f"libxl_domain_sched_params_get returned {shares[0][1]} not {scheduler}.")
    _show_share(xl, shares[0])
