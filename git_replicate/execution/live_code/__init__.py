"""What runs inside the Python processes of an isolated run: standard library only, imported by nothing of ours."""
