"""The company of the end-to-end tests, for the fault harness."""

from tests.end_to_end.conftest import company

__all__ = ["company"]
