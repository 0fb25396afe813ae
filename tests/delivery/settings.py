"""Every variable that something of the project reads, taken from the code."""

from __future__ import annotations

from console.settings import ConsoleSettings
from devstack.doctor import MailSettings
from devstack.environment import Addresses
from devstack.stages import ElsewhereSettings
from inbox_state.settings import InboxStateSettings
from notification.settings import NotificationSettings
from reporting.settings import ReportingSettings
from routing.settings import RoutingSettings
from service_kit.settings import EnvironmentSettings

KINDS: tuple[type[EnvironmentSettings], ...] = (
    RoutingSettings,
    InboxStateSettings,
    NotificationSettings,
    ReportingSettings,
    ConsoleSettings,
    Addresses,
    ElsewhereSettings,
    MailSettings,
)

NAMES = {str(field.validation_alias or name).upper() for kind in KINDS for name, field in kind.model_fields.items()}
VARIABLES = NAMES | {f"{name}_FILE" for name in NAMES}
"""Each may stand in a file instead."""
