"""One module for each command line parser, loaded when the program has imported that parser.

Each has `install(params, module)`: it wraps what parses, calls it as it would have been called, and reports.
"""
