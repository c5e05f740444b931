"""The probe: what it is told and how it writes is in `session`; each other module observes one thing.

Each has a function `install(probe)`, called once while Python starts, which must cost next to nothing: what is
heavy waits until the program imports the library in question.
"""
