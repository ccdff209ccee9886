"""One job, from its lock to its result.json."""
