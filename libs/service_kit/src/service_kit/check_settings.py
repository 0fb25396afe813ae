"""`python -m service_kit.check_settings routing.settings`: would a service of this module start with what it is told?

For `inboxctl doctor`, and for an installation's own checks before a roll-out. Nothing is connected to.
"""

from __future__ import annotations

import importlib
import sys

from service_kit.settings import ServiceSettings, load


def main() -> None:
    """Exit 0, or name what is wrong: a line for each setting on standard error."""
    module = importlib.import_module(sys.argv[1])
    for kind in vars(module).values():
        if isinstance(kind, type) and issubclass(kind, ServiceSettings) and kind.__module__ == module.__name__:
            load(kind)


if __name__ == "__main__":
    main()
