"""The verdict: what a report, `quantize` and `demo` open with.

A MaskJudgement (evaluation/judgement.py) holds figures and a level. words.py puts it into words, advice.py says
what to do next; sentences.py says size, speed and agreement in a sentence, and the key figures.
"""

from quantseg.report.verdict.advice import Made, NextStep, next_steps
from quantseg.report.verdict.sentences import comparison_verdict, headlines, verdict
from quantseg.report.verdict.words import SYMBOLS, TITLES, Verdict, unjudged, worded

__all__ = [
    "SYMBOLS",
    "TITLES",
    "Made",
    "NextStep",
    "Verdict",
    "comparison_verdict",
    "headlines",
    "next_steps",
    "unjudged",
    "verdict",
    "worded",
]
