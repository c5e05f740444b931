"""The only place that touches git: one interface, two backends, and the working-tree scan.

It knows objects, refs, trees and worktrees, and nothing of what they are used for.
"""
