"""Pure values and pure functions: no files, no git, no processes, no clock."""
