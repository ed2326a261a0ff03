"""The subset: candidates, columns that a strategy needs, bounds, budgets."""
