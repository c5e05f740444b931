"""Processes: the one workflow that records a run, and what launches, watches and recovers its command."""
