"""What the command line can do, a file each: functions of a workspace that return plain data."""
