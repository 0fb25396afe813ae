"""HTTP to the servers of a test."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Final

import httpx

_TRUSTS_NOBODY: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def http_client(
    base_url: str = "", *, headers: Mapping[str, str] | None = None, timeout: float = 30.0
) -> httpx.AsyncClient:
    """A client for plain HTTP on this machine.

    For https it trusts nobody: to read the certificates that httpx trusts takes 50 ms for each client, and tests make
    one for nearly every request.
    """
    return httpx.AsyncClient(
        base_url=base_url, headers=headers, timeout=timeout, verify=_TRUSTS_NOBODY, trust_env=False
    )
