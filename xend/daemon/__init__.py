"""The daemon: from the command line to a running composition of adapters, service and faces.

Only this package builds adapters.  Importing it imports nothing: `xend status` must be quick.
"""
