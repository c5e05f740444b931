"""Loggers for other people's training loops, each imported only by a program that uses it.

They speak to nothing of ours but `git_replicate`'s own functions (docs/api.md), and do nothing outside a run. In a run
they are importable in the program's interpreter even where the tool is not installed, so they are written for Python
3.8 and later.
"""
