"""Seeds for what a program leaves unseeded: where each process's streams start, and one module a library."""
