"""The verdict on a quantised model: one or two sentences, and a few key figures."""

from collections.abc import Sequence
from statistics import median
from typing import TYPE_CHECKING

from quantseg.evaluation.instance_judgement import AP_POINTS, kept_level
from quantseg.evaluation.judgement import AGREEMENT, POINTS
from quantseg.evaluation.levels import KEEPS, LOSES_SOME
from quantseg.report.document import Headline
from quantseg.report.summary import NNCF, PEER, PEERS, PeerSummary, Summary
from quantseg.report.tables import decibels, megabytes, milliseconds, percent, points, ratio, size_words

if TYPE_CHECKING:
    from quantseg.report.content import Report

_ALIKE = 0.05
"""Latencies within 5 % of each other count as equal: that is within a benchmark's spread."""

_TOOLS = {PEER: "onnxruntime's own quantizer", NNCF: "NNCF in OpenVINO"}


def verdict(summary: Summary) -> str:
    """Size, speed and agreement, the change in accuracy if there are labels, and the other quantizers' figures.

    Which output was judged, where there are several, and a note on the images come last.
    """
    judged = [f"{summary.judged[:1].upper()}{summary.judged[1:]}."] if summary.judged else []
    return " ".join(
        [
            _ours(summary),
            *(_peer(summary, peer) for peer in summary.peers),
            *judged,
            *([f"Note: {summary.note}."] if summary.note else []),
        ]
    )


def comparison_verdict(summaries: Sequence[Summary]) -> str:
    """How often our model beats each other quantizer's, and the medians of both; '' where no report has a peer.

    Speeds that differ by less than 5 % count as equal.
    """
    return " ".join(filter(None, (_beside(summaries, name) for name in PEERS)))


def _beside(summaries: Sequence[Summary], name: str) -> str:
    pairs = [(s, p) for s in summaries for p in s.peers if p.name == name and p.failed is None]
    closer = [(s.agreement, p.agreement) for s, p in pairs if p.agreement is not None]
    ratios = [(s.speed_ratio, s.peer_speed_ratio(name)) for s, _ in pairs]
    speeds = [(ours, theirs) for ours, theirs in ratios if ours and theirs]
    if not closer or not speeds:
        return ""
    faster, slower = (sum(a > (1 + _ALIKE) * b for a, b in side) for side in (speeds, [p[::-1] for p in speeds]))
    agreements, times = ([median(side) for side in zip(*values, strict=True)] for values in (closer, speeds))
    return (
        f"Of {len(pairs)} models that {_TOOLS[name]} quantises too, quantseg's masks are the closer to float's in "
        f"{sum(ours > theirs for ours, theirs in closer)}; its model is faster in {faster}, slower in {slower} and "
        f"about as fast in {len(speeds) - faster - slower}. In the median, agreement is {percent(agreements[0])} "
        f"against {percent(agreements[1])}, and speed {ratio(times[0])} against {ratio(times[1])}."
    )


def _ours(summary: Summary) -> str:
    claims = [size_words(summary.size_ratio)]
    if summary.speed_ratio is not None:
        claims.append(_speed(summary.speed_ratio))
    if summary.kept is not None:
        found = f"{percent(summary.kept)} of the float model's instances"
        sentence = f"The int8 model is {' and '.join(claims)}, and finds {found}"
        if summary.ap_change is None:
            return sentence + "."
        figures = percent(summary.int8_ap), percent(summary.float_ap)
        return f"{sentence}; against the labels its mask AP is {figures[0]} where the float model's is {figures[1]}."
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


def headlines(report: "Report") -> tuple[Headline, ...]:
    """The key figures at the top: size, speed, agreement and accuracy, as far as measured."""
    s, evaluation = report.summary, report.evaluation
    shown = [
        _times(s.size_ratio, ("smaller", "larger"), f"{megabytes(s.float_bytes)} → {megabytes(s.int8_bytes)}"),
        _agreement(report),
    ]
    if s.speed_ratio is not None:
        detail = f"{milliseconds(s.float_ms)} → {milliseconds(s.int8_ms)}"
        shown.insert(1, _times(s.speed_ratio, ("faster", "slower"), detail))
    if s.kept is not None and s.ap_change is not None:
        detail = f"against the labels, {percent(s.float_ap)} → {percent(s.int8_ap)}"
        shown.append(Headline(points(s.ap_change), "points of mask AP", detail, AP_POINTS.level(-100 * s.ap_change)))
    elif s.iou_change is not None:
        detail = f"against the labels, {percent(s.float_iou)} → {percent(s.int8_iou)}"
        level = POINTS.level(-100 * s.iou_change)
        shown.append(Headline(points(s.iou_change), "points of mIoU", detail, level))
    if evaluation.sqnr_db is not None:
        shown.append(Headline(decibels(evaluation.sqnr_db), "SQNR", "signal to noise of the output tensor"))
    return tuple(shown)


def _agreement(report: "Report") -> Headline:
    """How much is like float: instances kept, or mean IoU of the masks."""
    s, found = report.summary, report.evaluation.instances
    if found is not None and s.kept is not None:
        detail = f"of float's {found.total.reference}, {s.images} images; {found.total.gained} gained"
        return Headline(percent(s.kept), "instances kept", detail, kept_level(found.total))
    detail = f"mean IoU with the float masks, {s.images} images"
    return Headline(percent(s.agreement), "agreement", detail, AGREEMENT.level(s.agreement))


def _times(times: float, words: tuple[str, str], detail: str) -> Headline:
    """'4.00x smaller'; of what is larger or slower: '2.50x larger', marked."""
    if times >= 1:
        return Headline(ratio(times), words[0], detail)
    return Headline(ratio(1 / times), words[1], detail, KEEPS if times > 1 - _ALIKE else LOSES_SOME)


def _peer(summary: Summary, peer: PeerSummary) -> str:
    if peer.failed is not None or peer.bytes is None:
        return f"Of {_TOOLS[peer.name]} there is no model: {peer.failed}."
    claims = [size_words(summary.float_bytes / peer.bytes)]
    if (speed := summary.peer_speed_ratio(peer.name)) is not None:
        claims.append(_speed(speed))
    sentence = f"That of {_TOOLS[peer.name]} is {' and '.join(claims)}"
    if peer.kept is not None:
        sentence += f", and finds {percent(peer.kept)} of the float model's instances"
        return f"{sentence}." if peer.ap is None else f"{sentence}; its mask AP is {percent(peer.ap)}."
    if peer.agreement is not None:
        sentence += f", and its masks agree to {percent(peer.agreement)}"
    return f"{sentence}." if peer.iou is None else f"{sentence}; its mean IoU is {percent(peer.iou)}."


def _speed(times: float) -> str:
    if abs(times - 1) < _ALIKE:
        return "about as fast"
    return f"{times:.1f} times faster" if times > 1 else f"{1 / times:.1f} times slower"
