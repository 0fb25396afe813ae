"""A set-up as the text of a YAML file: in a stable order, one line for what fits on one, defaults left out."""

from __future__ import annotations

from io import StringIO
from typing import Any, Final

import yaml

from devstack.setup_file import InboxPart, SetupFile

_HEADER: Final = """\
# The whole set-up of an account, as `inboxctl export` wrote it. What is left out has its default.
# `inboxctl diff FILE` shows what is different now, `inboxctl apply FILE` makes the account what stands here.
"""
_WIDTH: Final = 110
_SECTIONS: Final = ("users", "teams", "inboxes", "lines")


def written(setup: SetupFile) -> str:
    """The text that `setup_file.parse` reads as the same set-up. Equal set-ups give equal texts."""
    sections: list[dict[str, Any]] = [{"account": setup.account.brief()}]
    for name in _SECTIONS:
        parts = getattr(setup, name)
        if parts:
            sections.append({name: {id: _brief(parts[id]) for id in sorted(parts)}})
    return _HEADER + "".join(f"\n{_text(section)}" for section in sections)


def flow(value: Any) -> str:
    """A value as YAML on one line."""
    return _serialised(_node(value), flow=True)


def _brief(part: Any) -> dict[str, Any]:
    document: dict[str, Any] = part.brief()
    if isinstance(part, InboxPart):
        if part.watchers is not None:
            document["watchers"] = sorted(part.watchers)
        if part.automations is not None:
            # Said, and not left out: an export that is applied later turns off what was turned on meanwhile.
            document["automations"] = part.automations.brief() or {"auto_mark_as_read": {"enabled": False}}
    return document


def _text(section: dict[str, Any]) -> str:
    node = _node(section)
    ((_, things),) = node.value
    for key, thing in things.value:
        _lay_out(thing, len(key.value) + 4, indent=4)
    things.flow_style = False
    node.flow_style = False
    return _serialised(node)


def _lay_out(node: yaml.Node, used: int, indent: int) -> None:
    if isinstance(node, yaml.CollectionNode):
        node.flow_style = not node.value or used + len(_serialised(node, flow=True)) <= _WIDTH
        if not node.flow_style:
            for child in node.value:
                if isinstance(child, tuple):
                    _lay_out(child[1], indent + len(str(child[0].value)) + 2, indent + 2)
                else:
                    _lay_out(child, indent + 2, indent + 2)


class _Dumper(yaml.SafeDumper):
    """Text that any YAML reader reads the same: what another one might take for a number or a time is quoted."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _node(value: Any) -> Any:
    return _Dumper(StringIO(), default_flow_style=False, sort_keys=False).represent_data(value)


def _serialised(node: Any, *, flow: bool = False) -> str:
    if flow and isinstance(node, yaml.CollectionNode):
        node.flow_style = True
    text: str = yaml.serialize(node, Dumper=_Dumper, width=float("inf"), allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...") if flow else text
