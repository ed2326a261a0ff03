"""The public Python API: `Workspace(path).select(budget="30%")`, and the protocols that plug-ins implement."""
