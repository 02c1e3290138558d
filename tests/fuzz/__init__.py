"""Fuzzing: every kind of file that the tool reads, made odd from a seed, is accepted or refused in one line.

    python -m tests.fuzz --seconds 20                     every target, so long
    python -m tests.fuzz --minutes 60 --target model      one target
    python -m tests.fuzz --target model --seed 1234       one input again, with its traceback

An input is a function of target and seed alone. The valid files that inputs start from are made in code.
"""
