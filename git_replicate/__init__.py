"""git replicate: every experiment recorded in git, and replicable.

How a run flows through the package::

    capture   asks the machine and the working tree      params, seeds, environment, data, metrics
       |
    core      keeps what they said as plain values       a Record
       |
    execution runs the command and adds the outcome      launch, run
       |
    store     turns a record into blobs, a tree,         snapshot, store, notes, annotations
       |      commits and one ref
    store     remembers it in a disposable index         index
       |
    core      chooses, tabulates, explains               query, collate, compare
       |
    render    draws the answer                           text, csv, json, ...

Imports point one way: commands -> execution -> capture, store -> git -> core, and render -> core.
"""

__version__ = "0.1.0"
