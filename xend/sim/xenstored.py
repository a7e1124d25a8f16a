"""What xenstored does, in memory and at once: the nodes, transactions, watches and domains.

Follows C xenstored 4.17 as a privileged client sees it, down to the order of children (of their
creation), the choice of errno and what makes two transactions conflict (xenstored_core.c,
xenstored_transaction.c).  The contract suite compares it with the real one.

The simulated hypervisor calls it directly; everybody else goes through `xend.sim.xenstore`.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from xend.errors import XenStoreError, XenStoreMissing, XenStoreQuota

PAYLOAD_MAX = 4096
"""XENSTORE_PAYLOAD_MAX of xen/include/public/io/xs_wire.h."""

_RELATIVE_TO = "/local/domain/0"
"""Base of relative paths for a client on the socket (get_implicit_path)."""
_PATH_MAX = 2048
"""quota_max_path_len, not counting /local/domain/N/."""
_VALID_PATH = re.compile(r"/|(/[A-Za-z0-9_@-]+)+", re.ASCII)
_DOMAIN_PREFIX = re.compile(r"/local/domain/[0-9]{1,5}/", re.ASCII)
_PERMISSION = re.compile(r"[nrwb](0|[1-9][0-9]{0,9})", re.ASCII)
_SPECIAL = ("@introduceDomain", "@releaseDomain")


@dataclass(frozen=True, slots=True)
class Quota:
    """Limits of a domain; None is no limit, as for a privileged client.  Sizes in bytes."""

    nodes: int | None = None
    node_size: int | None = None
    watches: int | None = None
    transactions: int | None = None


@dataclass(frozen=True, slots=True)
class Node:
    value: bytes
    permissions: tuple[str, ...]
    children: tuple[str, ...]
    generation: int
    """Of its last change; unique in the whole store."""


@dataclass(slots=True)
class _Accessed:
    """A node as a transaction sees it."""

    original: Node | None
    node: Node | None
    modified: bool = False
    fires: bool = False
    exact: bool = True


@dataclass(slots=True)
class Transaction:
    """All it read or wrote, in the order of first access."""

    accessed: dict[str, _Accessed] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class Watcher:
    """`told` is called with the path of each event; it must not block."""

    path: str
    told: Callable[[str], None]
    relative: bool = False
    number: int = 0
    """Older ones are told first."""


class SimXenstored:
    """Every method takes the transaction it belongs to, or None for the store itself."""

    def __init__(self, quota: Quota | None = None) -> None:
        self.quota = quota or Quota()
        self._generation = 0
        self._nodes: dict[str, Node] = {}
        self._watchers: dict[str, list[Watcher]] = {}
        """By path: a host has one for each domain, and must not ask them all at each write."""
        self._watched = 0
        self._numbers = itertools.count()
        self._domains: set[int] = set()
        for path, children in (("/", "tool"), ("/tool", "xenstored"), ("/tool/xenstored", "")):
            self._nodes[path] = Node(b"", ("n0",), (children,) if children else (), 0)

    # -- nodes ---------------------------------------------------------------------------------

    def read(self, path: str, transaction: Transaction | None = None) -> str:
        return _text(self._get("read", path, transaction).value)

    def directory(self, path: str, transaction: Transaction | None = None) -> list[str]:
        return list(self._get("directory", path, transaction).children)

    def get_permissions(self, path: str, transaction: Transaction | None = None) -> list[str]:
        return list(self._get("get_perms", path, transaction).permissions)

    def write(self, path: str, value: str, transaction: Transaction | None = None) -> None:
        data = value.encode("utf-8", "surrogateescape")
        check_size("write", path, len(path.encode("utf-8", "surrogateescape")) + 1 + len(data))
        self._limit("write", path, "ENOSPC", len(data), self.quota.node_size)
        name = _checked("write", path)
        node = self._find(name, transaction)
        if node is None:
            self._create("write", name, data, transaction)
        else:
            self._put(name, replace(node, value=data), transaction)
        self._fire(name, transaction)

    def mkdir(self, path: str, transaction: Transaction | None = None) -> None:
        name = _checked("mkdir", path)
        if self._find(name, transaction) is None:
            self._create("mkdir", name, b"", transaction)
            self._fire(name, transaction)

    def remove(self, path: str, transaction: Transaction | None = None) -> None:
        name = _checked("rm", path)
        if self._find(name, transaction) is None:
            if self._access(_parent(name), transaction) is None:
                raise failure("rm", path, "ENOENT")
            return
        if name == "/":
            raise failure("rm", path, "EINVAL")
        self._remove_tree(name, transaction)

    def set_permissions(
        self, path: str, permissions: Sequence[str], transaction: Transaction | None = None
    ) -> None:
        if not permissions or not all(_PERMISSION.fullmatch(one) for one in permissions):
            raise failure("set_perms", path, "EINVAL")
        if path in _SPECIAL:
            return
        node = self._get("set_perms", path, transaction)
        name = _absolute(path)
        self._put(name, replace(node, permissions=tuple(permissions)), transaction)
        self._fire(name, transaction)

    # -- transactions --------------------------------------------------------------------------

    def commit(self, transaction: Transaction) -> bool:
        """False when a node it looked at (or a parent of a missing one) has changed since."""
        for name, seen in transaction.accessed.items():
            now = self._nodes.get(name)
            if _generation(now) != _generation(seen.original):
                return False
        for name, seen in transaction.accessed.items():
            if not seen.modified:
                continue
            if seen.node is not None:
                self._put(name, seen.node, None)
            else:
                self._nodes.pop(name, None)
            # A node made and removed again inside the transaction was never there.
            if seen.fires and (seen.original is not None or seen.node is not None):
                self._tell(name, exact=seen.exact)
        return True

    # -- watches -------------------------------------------------------------------------------

    def watch(self, path: str, told: Callable[[str], None]) -> Watcher:
        self._limit("watch", path, "E2BIG", self._watched + 1, self.quota.watches)
        if path.startswith("@"):
            if len(path) > _PATH_MAX:
                raise failure("watch", path, "EINVAL")
            watcher = Watcher(path, told)
        else:
            watcher = Watcher(_checked("watch", path), told, not path.startswith("/"))
        watcher.number = next(self._numbers)
        self._watchers.setdefault(watcher.path, []).append(watcher)
        self._watched += 1
        told(path)
        return watcher

    def unwatch(self, watcher: Watcher) -> None:
        here = self._watchers[watcher.path]
        here.remove(watcher)
        self._watched -= 1
        if not here:
            del self._watchers[watcher.path]

    # -- domains -------------------------------------------------------------------------------

    def introduce(self, domid: int) -> None:
        """xenstored learnt of a domain: @introduceDomain, once."""
        if domid not in self._domains:
            self._domains.add(domid)
            self._tell("@introduceDomain", exact=True)

    def shutdown(self, domid: int) -> None:
        """The domain crashed or shut down, but is still there: @releaseDomain."""
        if domid in self._domains:
            self._tell("@releaseDomain", exact=True)

    def release(self, domid: int) -> None:
        """The domain is gone: the nodes it owns go, then @releaseDomain."""
        if domid not in self._domains:
            return
        self._domains.remove(domid)
        for name in [name for name, node in self._nodes.items() if _owner(node) == domid]:
            if name in self._nodes and name != "/":
                self._remove_tree(name, None)
        self._tell("@releaseDomain", exact=True)

    def is_introduced(self, domid: int) -> bool:
        return domid in self._domains

    # -- inside --------------------------------------------------------------------------------

    def _access(self, name: str, transaction: Transaction | None) -> Node | None:
        """Reads a node; a transaction remembers it, also that it was missing (read_node)."""
        if transaction is None:
            return self._nodes.get(name)
        seen = transaction.accessed.get(name)
        if seen is None:
            node = self._nodes.get(name)
            seen = transaction.accessed[name] = _Accessed(node, node)
        return seen.node

    def _find(self, name: str, transaction: Transaction | None) -> Node | None:
        """Looks at the parents of a missing node, as xenstored does to choose the errno: so a
        change of the nearest parent, too, makes the transaction lose (errno_from_parents)."""
        node = self._access(name, transaction)
        above = name
        while node is None and above != "/":
            above = _parent(above)
            if self._access(above, transaction) is not None:
                break
        return node

    def _get(self, operation: str, path: str, transaction: Transaction | None) -> Node:
        node = self._find(_checked(operation, path), transaction)
        if node is None:
            raise failure(operation, path, "ENOENT")
        return node

    def _put(self, name: str, node: Node, transaction: Transaction | None) -> None:
        self._generation += 1
        node = replace(node, generation=self._generation)
        if transaction is None:
            self._nodes[name] = node
        else:
            seen = transaction.accessed[name]
            seen.node, seen.modified = node, True

    def _drop(self, name: str, transaction: Transaction | None) -> None:
        if transaction is None:
            del self._nodes[name]
        else:
            seen = transaction.accessed[name]
            seen.node, seen.modified = None, True

    def _create(
        self, operation: str, name: str, value: bytes, transaction: Transaction | None
    ) -> None:
        """Makes missing parents, empty, and with the permissions of the nearest one."""
        missing = [name]
        while (above := self._access(_parent(missing[-1]), transaction)) is None:
            missing.append(_parent(missing[-1]))
        total = len(self._nodes) + len(missing)
        self._limit(operation, name, "ENOSPC", total, self.quota.nodes)
        for new in reversed(missing):
            self._put(
                _parent(new), replace(above, children=(*above.children, _base(new))), transaction
            )
            above = Node(value if new == name else b"", above.permissions, (), 0)
            self._put(new, above, transaction)

    def _remove_tree(self, name: str, transaction: Transaction | None) -> None:
        """Children first.  Watches on the node or above hear of the node alone; a watch on
        exactly a node below hears of that node (delnode_sub)."""
        above = self._access(_parent(name), transaction)
        if above is None:
            # Gone meanwhile outside this transaction, which is lost already (rm_node).
            raise failure("rm", name, "EINVAL")
        for gone in self._below(name, transaction):
            self._drop(gone, transaction)
            self._fire(gone, transaction, exact=gone != name)
            if transaction is not None and gone != name:
                self._forget_child(gone, transaction)
        if _base(name) not in above.children:
            # Made meanwhile outside: likewise (delete_child).
            raise failure("rm", name, "EIO")
        self._forget_child(name, transaction)

    def _forget_child(self, name: str, transaction: Transaction | None) -> None:
        above = self._access(_parent(name), transaction)
        assert above is not None
        children = tuple(child for child in above.children if child != _base(name))
        self._put(_parent(name), replace(above, children=children), transaction)

    def _below(self, name: str, transaction: Transaction | None) -> Iterator[str]:
        """The node and all below it, children before their parents (walk_node_tree)."""
        stack = [(name, False)]
        while stack:
            at, done = stack.pop()
            if done:
                yield at
                continue
            node = self._access(at, transaction)
            if node is None:
                # Gone meanwhile outside: likewise.
                raise failure("rm", name, "EIO")
            stack.append((at, True))
            stack.extend((f"{at}/{child}", False) for child in reversed(node.children))

    def _fire(self, name: str, transaction: Transaction | None, *, exact: bool = False) -> None:
        if transaction is None:
            self._tell(name, exact=exact)
            return
        seen = transaction.accessed[name]
        seen.exact = exact and seen.exact
        seen.fires = True

    def _tell(self, name: str, *, exact: bool) -> None:
        paths = [name] if exact else [name, *_above(name)]
        watchers = [watcher for path in paths for watcher in self._watchers.get(path, ())]
        for watcher in sorted(watchers, key=lambda each: each.number):
            told = name
            if watcher.relative:
                told = name.removeprefix(_RELATIVE_TO).removeprefix("/")
            watcher.told(told)

    def _limit(
        self, operation: str, path: str, errno_name: str, wanted: int, maximum: int | None
    ) -> None:
        if maximum is not None and wanted > maximum:
            raise failure(operation, path, errno_name)


def failure(operation: str, path: str, errno_name: str) -> XenStoreError:
    """The exception for an errno, with the fields that the real client gives it."""
    if errno_name == "ENOENT":
        return XenStoreMissing(operation=operation, path=path, errno_name=errno_name)
    if errno_name in ("ENOSPC", "E2BIG"):
        limit = "domain" if errno_name == "ENOSPC" else "size"
        return XenStoreQuota(operation=operation, path=path, errno_name=errno_name, limit=limit)
    return XenStoreError(operation=operation, path=path, errno_name=errno_name)


def check_size(operation: str, path: str, size: int) -> None:
    """`size`: bytes of the request's payload."""
    if size > PAYLOAD_MAX:
        raise XenStoreQuota(
            f"XenStore {operation} {path}: the request has {size} bytes, XenStore takes at most "
            f"{PAYLOAD_MAX}",
            operation=operation,
            path=path,
            errno_name="E2BIG",
            limit="payload",
            size=size,
            maximum=PAYLOAD_MAX,
        )


def _checked(operation: str, path: str) -> str:
    check_size(operation, path, len(path.encode("utf-8", "surrogateescape")) + 1)
    name = _absolute(path)
    prefix = _DOMAIN_PREFIX.match(name)
    longest = _PATH_MAX + (prefix.end() if prefix else 0)
    if len(name) > longest or not _VALID_PATH.fullmatch(name):
        raise failure(operation, path, "EINVAL")
    return name


def _absolute(path: str) -> str:
    # A name that starts with @ is no node either way.
    return path if path.startswith(("/", "@")) else f"{_RELATIVE_TO}/{path}"


def _parent(name: str) -> str:
    return name.rpartition("/")[0] or "/"


def _base(name: str) -> str:
    return name.rpartition("/")[2]


def _above(name: str) -> Iterator[str]:
    """Its parents, the root last: whoever watches one of them is told (is_child of
    xenstored_watch.c)."""
    while name != "/":
        name = _parent(name)
        yield name


def _generation(node: Node | None) -> int | None:
    return None if node is None else node.generation


def _owner(node: Node) -> int:
    return int(node.permissions[0][1:])


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")
