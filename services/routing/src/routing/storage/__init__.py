"""All SQL of routing: every function is a statement, or a few, that keep a promise."""
