"""Our server with an echo over SockJS where its terminal is: `python -m tests.parties.sockjs_in_ksnap`."""

from ksnap.server.app import create_app
from ksnap.server.logs import configure_logs
from ksnap.server.main import serve
from ksnap.server.paths import SOCKJS
from ksnap.server.sockjs import SockJsOptions, mount_sockjs
from ksnap.settings import ServerSettings
from tests.parties.sockjs_server import opening, watched


def main() -> None:
    settings = ServerSettings()
    configure_logs(settings.log_level, settings.log_format)
    app = create_app(settings)
    options = SockJsOptions(origins=settings.allowed_origins, farewell=(5, "Session closed by server"))
    former = list(app.router.routes)
    mount_sockjs(app, f"{SOCKJS}/opening", opening, options)
    mount_sockjs(app, SOCKJS, watched, options)
    app.router.routes[:] = [*app.router.routes[len(former) :], *former]  # before the terminal's own
    serve(app, settings)


if __name__ == "__main__":
    main()
