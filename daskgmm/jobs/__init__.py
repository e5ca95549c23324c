"""What each command does, one file for each: fit, predict, select, submit, status, report."""
