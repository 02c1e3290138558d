"""The commands, one module each.

Their modules import heavy packages only when a command runs, so that `quantseg --help` is fast.
"""
