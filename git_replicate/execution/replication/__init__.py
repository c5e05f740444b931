"""Runs again and compared: replays, verdicts, hybrids, and what makes two runs differ."""
