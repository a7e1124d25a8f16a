"""A client of xend's REST interface: `Client` waits, `AsyncClient` is awaited.

    from xend.client import Client, calls

    with Client() as xend:                      # /var/run/xend/rest.sock
        for domain in xend(calls.domains(filter="power_state=running"))["items"]:
            print(domain["name"])
        operation = xend(calls.act("prospero", "shutdown"))
        xend.finish(operation)

Every endpoint is a function in `calls`, which says what to ask and of what type the answer is; both
clients carry it out.  A refusal is raised as `ApiError`, which has the problem document.
"""

from xend.client import calls
from xend.client.asynchronous import AsyncClient
from xend.client.problems import ApiError
from xend.client.synchronous import Client

__all__ = ["ApiError", "AsyncClient", "Client", "calls"]
