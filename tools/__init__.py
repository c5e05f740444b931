"""What writes the generated pages: `python -m tools` from the top of the checkout, a test compares."""
