"""The files that pages load: our own style and scripts, from our own host.

One digest over all of them stands in every address, so that they may be kept for ever, and a script
that names its neighbour gets the one that it was written with. Promises no file from anywhere else.
"""

from hashlib import sha256
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

PREFIX = "/ui/static"
DIGEST_LENGTH = 12
TYPES = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
FOR_EVER = "public, max-age=31536000, immutable"
ONCE = "no-store"
NOT_FOUND = 404


class Assets:
    """The files, read once."""

    def __init__(self) -> None:
        folder = files("scheduler_svc.web") / "static"
        self._files = {one.name: one.read_bytes() for one in folder.iterdir() if one.is_file()}
        whole = sha256()
        for name in sorted(self._files):
            whole.update(name.encode() + b"\0" + self._files[name] + b"\0")
        self._digest = whole.hexdigest()[:DIGEST_LENGTH]

    def address(self, name: str) -> str:
        """Return where a file is; raise KeyError for one that is not there."""
        if name not in self._files:
            raise KeyError(name)
        return f"{PREFIX}/{self._digest}/{name}"

    def route(self) -> Route:
        """Return the route of the files."""

        async def get_asset(request: Request) -> Response:
            body = self._files.get(request.path_params["name"])
            if body is None:
                return Response("There is no such file.\n", NOT_FOUND, media_type="text/plain")
            # A page of another build, in the middle of a deploy, gets the file of this one.
            same = request.path_params["digest"] == self._digest
            kind = request.path_params["name"].rpartition(".")[2]
            return Response(
                body,
                headers={"Cache-Control": FOR_EVER if same else ONCE},
                media_type=TYPES[kind],
            )

        return Route(f"{PREFIX}/{{digest}}/{{name}}", get_asset, methods=["GET"])
