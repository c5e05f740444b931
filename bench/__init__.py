"""Measurements of whole commands; see `run.py`."""
