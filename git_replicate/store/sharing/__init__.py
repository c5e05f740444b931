"""Runs on their way between clones: push, fetch, and uniting what is said of them."""
