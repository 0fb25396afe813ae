"""A package, lest `tests.console` be taken for the console itself."""
