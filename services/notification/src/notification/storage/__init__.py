"""Every SQL statement of the service: a function is a statement that keeps a promise."""
