"""The index of runs in SQLite: a cache of what the records say, for questions over all of them."""
