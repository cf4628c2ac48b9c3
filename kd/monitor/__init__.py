"""What would run, what is done, and what is left over: plan, status, recover, free, collect."""
