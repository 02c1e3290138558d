"""The commands: one module each, light to import, so that `quantseg --help` answers at once.

What a command needs is imported when it runs.
"""
