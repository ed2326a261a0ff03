"""Where bytes lie: files here or at a URL, the store with its ledger and lock, rows of tables."""
