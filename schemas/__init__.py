"""The shapes that cross borders: columns and tables, config, errors, protocols. Imports nothing of ours."""
