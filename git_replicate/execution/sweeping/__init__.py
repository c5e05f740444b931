"""Many runs: sweeps, searches, and the engines and schedulers that carry them out here or elsewhere."""
