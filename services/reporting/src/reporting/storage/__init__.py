"""All SQL of reporting: rows kept by highest version, and figures asked of them. The caller holds the transaction."""
