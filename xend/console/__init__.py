"""Guests' consoles, read by the daemon: a ring of what they wrote, many readers, one writer.

What a guest writes comes out of one pseudo-terminal, and each byte only once: of two processes
that read it each gets some.  `xenconsole` (so `xm console` and `xl console`) therefore takes a lock
file per domain, and so does the daemon: it has a console only while somebody reads it through the
daemon, and then `xm console` is told that it is locked; while `xm console` has it, the daemon's
readers are told so.  With `xend-console-ring` the daemon keeps every guest's console for itself.
"""
