"""The lab: real Xen from Debian packages, in QEMU, with one command.

Only the standard library is imported here, because the lab has to run on a
fresh Debian machine before anything of the project is installed.
"""
