"""The verdict: what a reader in a hurry should know, in one sentence and a few large figures."""

from quantseg.report.content import Report, Summary
from quantseg.report.document import Headline
from quantseg.tables import decibels, megabytes, milliseconds, percent, points, ratio

_ALIKE = 0.05
"""Latencies within 5 % of each other are called equal: less than a benchmark's own spread."""


def verdict(summary: Summary) -> str:
    """Size, speed and agreement in one sentence, and the change against the labels where there are any."""
    claims = [_size(summary.size_ratio)]
    if summary.speed_ratio is not None:
        claims.append(_speed(summary.speed_ratio))
    sentence = (
        f"The int8 model is {' and '.join(claims)}, "
        f"and its masks agree with the float model's to {percent(summary.agreement)} (mean IoU)"
    )
    if summary.iou_change is None:
        return sentence + "."
    return (
        f"{sentence}; against the labels its mean IoU is {percent(summary.int8_iou)} "
        f"where the float model's is {percent(summary.float_iou)}."
    )


def headlines(report: Report) -> tuple[Headline, ...]:
    """The figures at the top: what was measured of size, speed, agreement and accuracy."""
    s, evaluation = report.summary, report.evaluation
    shown = [
        Headline(ratio(s.size_ratio), "smaller", f"{megabytes(s.float_bytes)} → {megabytes(s.int8_bytes)}"),
        Headline(percent(s.agreement), "agreement", f"mean IoU with the float masks, {s.images} images"),
    ]
    if s.speed_ratio is not None:
        word = "faster" if s.speed_ratio >= 1 else "the float model's speed"
        shown.insert(1, Headline(ratio(s.speed_ratio), word, f"{milliseconds(s.float_ms)} → {milliseconds(s.int8_ms)}"))
    if s.iou_change is not None:
        detail = f"against the labels, {percent(s.float_iou)} → {percent(s.int8_iou)}"
        shown.append(Headline(points(s.iou_change), "points of mIoU", detail))
    if evaluation.sqnr_db is not None:
        shown.append(Headline(decibels(evaluation.sqnr_db), "SQNR", "signal to noise of the output tensor"))
    return tuple(shown)


def _size(times: float) -> str:
    return f"{times:.1f} times smaller" if times >= 1 else f"{1 / times:.1f} times larger"


def _speed(times: float) -> str:
    if abs(times - 1) < _ALIKE:
        return "about as fast"
    return f"{times:.1f} times faster" if times > 1 else f"{1 / times:.1f} times slower"
