"""All SQL of inbox_state. Nothing here commits: the caller holds the transaction."""
