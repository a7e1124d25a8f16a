"""The least that FastAPI does: one route that answers bytes, under uvicorn on a port of 127.0.0.1.

python -m tests.bench.hello PORT SIZE
"""

from __future__ import annotations

import sys

import uvicorn
from fastapi import FastAPI
from starlette.responses import Response


def main() -> None:
    port, size = sys.argv[1:]
    body = b'"' + b"x" * (int(size) - 2) + b'"'
    app = FastAPI()

    @app.get("/")
    async def hello() -> Response:
        return Response(body, media_type="application/json")

    uvicorn.run(
        app, host="127.0.0.1", port=int(port), http="h11", log_level="warning", access_log=False
    )


if __name__ == "__main__":
    main()
