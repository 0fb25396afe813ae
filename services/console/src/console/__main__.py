"""The console, put together."""

from __future__ import annotations

from console.application import application
from console.settings import ConsoleSettings
from service_kit import logs
from service_kit.clock import utc_now
from service_kit.running import http_server, run_server
from service_kit.settings import load


def main() -> None:
    """Run the console until it is told to stop."""
    settings = load(ConsoleSettings)
    logs.configure("console", settings.log_level, settings.log_format)
    app, gateway, leaving = application(settings, utc_now)
    run_server(http_server(app, settings.host, settings.port, [gateway.let_go], leaving.take))


if __name__ == "__main__":
    main()
