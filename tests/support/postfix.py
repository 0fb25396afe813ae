"""A real Postfix of a test's own: its own configuration, queue and port. It needs root, as Postfix does."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass, field
from email import message_from_bytes
from pathlib import Path
from typing import Final

from devstack.ports import HOST, free_port

NOBODY: Final = 65_534

_SERVICES: Final = """\
{host}:{port} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
error unix - - n - - error
retry unix - - n - - error
virtual unix - n n - - virtual
proxymap unix - - n - - proxymap
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
"""


def why_not() -> str | None:
    """Why no Postfix can run here; None where one can."""
    if shutil.which("postfix") is None:
        return "there is no Postfix here: `apt-get install postfix` brings it"
    if os.geteuid() != 0:
        return "Postfix starts as root alone"
    return None


@dataclass
class Postfix:
    """Delivers what it accepts for example.com into one Maildir under `folder`.

    `answers` maps recipients to the SMTP answers that they get instead.
    """

    folder: Path
    certificate: Path | None = None
    answers: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        for part in ("etc", "queue", "data", "mail"):
            (self.folder / part).mkdir(exist_ok=True)
        shutil.chown(self.folder / "data", "postfix")
        os.chown(self.folder / "mail", NOBODY, NOBODY)
        services = _SERVICES.format(host=HOST, port=self.port)
        (self.folder / "etc/master.cf").write_text(services, encoding="ascii")
        self._configure()
        self._run("start")

    def change(self, answers: dict[str, str]) -> None:
        """Give these answers from now on."""
        self.answers = answers
        self._configure()
        self._run("reload")

    def stop(self) -> None:
        """Stop it at once; what it accepted stays in its queue."""
        if (self.folder / "etc/main.cf").exists():
            self._run("abort", check=False)

    def delivered(self) -> dict[str, list[bytes]]:
        """The e-mails that were delivered, by whom they went to (the part before the @)."""
        found: dict[str, list[bytes]] = {}
        for path in sorted((self.folder / "mail").glob("all/new/*")):
            raw = path.read_bytes()
            recipient = str(message_from_bytes(raw)["Delivered-To"])
            found.setdefault(recipient.partition("@")[0], []).append(raw)
        return found

    def _configure(self) -> None:
        answers = ", ".join(f"{{ {recipient} = {answer} }}" for recipient, answer in self.answers.items())
        settings = {
            "compatibility_level": "3.6",
            "queue_directory": self.folder / "queue",
            "data_directory": self.folder / "data",
            "maillog_file": self.folder / "mail.log",
            "maillog_file_prefixes": self.folder,
            "myhostname": "localhost.localdomain",
            "mydestination": "",
            "inet_interfaces": HOST,
            "inet_protocols": "ipv4",
            "mynetworks": "127.0.0.0/8",
            "virtual_mailbox_domains": "example.com",
            "virtual_mailbox_base": self.folder / "mail",
            "virtual_mailbox_maps": "static:all/",
            "virtual_uid_maps": f"static:{NOBODY}",
            "virtual_gid_maps": f"static:{NOBODY}",
            "smtpd_relay_restrictions": "permit_mynetworks, reject",
            "smtpd_recipient_restrictions": f"check_recipient_access inline:{{ {answers} }}, permit"
            if answers
            else "permit",
            # Its own patience with clients that make mistakes would slow the tests down.
            "smtpd_error_sleep_time": "0",
            "smtpd_client_connection_count_limit": "0",
        }
        if self.certificate is not None:
            settings |= {
                "smtpd_tls_security_level": "may",
                "smtpd_tls_chain_files": self.certificate,
            }
        text = "".join(f"{name} = {value}\n" for name, value in settings.items())
        (self.folder / "etc/main.cf").write_text(text, encoding="ascii")

    def _run(self, command: str, *, check: bool = True) -> None:
        done = subprocess.run(
            ["postfix", "-c", str(self.folder / "etc"), command],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        log = self.folder / "mail.log"
        if check and done.returncode:
            said = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
            raise RuntimeError(f"postfix {command}: {done.stdout}{done.stderr}{said}")
