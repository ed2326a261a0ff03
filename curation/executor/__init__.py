"""What runs stages: plans and keys, the local engine, the shuffle of rows into bins."""
