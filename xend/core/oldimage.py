"""Files that `xm save` of Xen 4.4 and older wrote: recognised, and refused with the way out.

    16 bytes  "LinuxGuestRecord"
    u32       length of the configuration, big endian
    …         the configuration as SXP, then a stream of libxc's first format

Today's libxl reads the first format only behind `xl save`'s own header, and no release reads it
behind this one.  Imported by worker processes: keep it light.
"""

from __future__ import annotations

RECORD = b"LinuxGuestRecord"
_HEAD = len(RECORD) + 4
_LIMIT = 1024 * 1024
"""More than any configuration."""


def reason(path: str, head: bytes) -> str:
    """What is wrong with a file that begins with `head`, if it is such a file; else empty."""
    if not head.startswith(RECORD):
        return ""
    told = (
        "it was saved by the xend of Xen 4.4 or older, whose memory images today's Xen does not "
        "read. Restore it on a host with such a Xen and shut the guest down there"
    )
    length = int.from_bytes(head[len(RECORD) : _HEAD], "big")
    if len(head) < _HEAD or not 0 < length <= _LIMIT:
        return f"{told}, then start it here"
    return (
        f"{told}, then start it here with the configuration that the file holds: "
        f"tail -c +{_HEAD + 1} {path} | head -c {length} > domain.sxp; xm create -F domain.sxp"
    )
