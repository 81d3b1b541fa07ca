"""A study's headline figures as Markdown tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["agreement_rows", "difference_rows", "markdown_table", "percent", "report_markdown", "risk_rows"]

Rows = list[list[str]]

MOST_ANNOTATORS = 20


def report_markdown(report: Mapping[str, Any]) -> str:
    """The report's headline figures as Markdown."""
    parts = [_counts(report), markdown_table(*difference_rows(report)), _noise_table(report["noise"]["fits"])]
    if report["per_annotator"]:
        parts.append(_annotators(report["per_annotator"]))
    if report["experts"]:
        parts.append(
            markdown_table(["raters", "pairs", "agree", "95 %", "Cohen's kappa"], agreement_rows(report["experts"]))
        )
    return "\n".join(parts)


def _counts(report: Mapping[str, Any]) -> str:
    rows = [("single answers", report["single"])]
    rows += [(f"merged, {name}", record) for name, record in report["merged"].items()]
    if report["tilt_undone"]:
        undone = report["tilt_undone"]
        rows.append(("single answers, tilt undone", undone["single"]))
        rows += [(f"merged, {name}, tilt undone", record) for name, record in undone["merged"].items()]
    who = "" if report["annotators"] is None else f" by {report['annotators']} annotators"
    head = f"{report['answers']} answers{who} about {report['pairs']} pairs of {report['poses']} poses"
    table = markdown_table(
        ["", "number", "right", "95 %"], [[name, str(r["answers"]), *percent(r)] for name, r in rows]
    )
    return f"{head}; {report['unsure']} unsure.\n\n{table}"


def difference_rows(report: Mapping[str, Any]) -> tuple[list[str], Rows]:
    """Titles and rows of the table of accuracy by true depth difference."""
    columns = {"single": report["single"], **{f"merged, {name}": record for name, record in report["merged"].items()}}
    if report["tilt_undone"]:
        columns["single, tilt undone"] = report["tilt_undone"]["single"]
    rows = []
    for i, first in enumerate(report["single"]["by_difference"]):
        upper = first["upper_mm"]
        span = f"> {first['lower_mm']:g}" if upper is None else f"{first['lower_mm']:g} to {upper:g}"
        cells = [" ".join(percent(record["by_difference"][i])) for record in columns.values()]
        rows.append([span, str(first["answers"]), *cells])
    return ["true depth difference, mm", "answers", *columns], rows


def _noise_table(fits: Sequence[Mapping[str, Any]]) -> str:
    best = fits[0]["aic"]
    rows = []
    for fit in fits:
        scale, lapse = fit["scale_mm"], fit["lapse"]
        behind = "" if fit["aic"] is None or best is None else f"{fit['aic'] - best:.1f}"
        lapses = "none" if lapse is None else f"{100 * lapse['value']:.1f} % {_interval(lapse, 100, 1)}"
        rows.append([fit["noise"]["link"], f"{scale['value']:.0f} {_interval(scale, 1, 0)}", lapses, behind])
    return markdown_table(["noise model", "scale, mm", "lapses", "AIC behind the best"], rows)


def _interval(estimate: Mapping[str, Any], scale: float, digits: int) -> str:
    ends = estimate["bootstrap_interval"] or estimate["interval"]
    return "" if ends is None else f"({scale * ends[0]:.{digits}f} to {scale * ends[1]:.{digits}f})"


def _annotators(records: Sequence[Mapping[str, Any]]) -> str:
    shown = (
        list(records)
        if len(records) <= MOST_ANNOTATORS
        else [*records[: MOST_ANNOTATORS // 2], *records[-MOST_ANNOTATORS // 2 :]]
    )
    rows = [[record["annotator"], str(record["counted"]), *percent(record)] for record in shown]
    if len(shown) < len(records):
        rows.insert(MOST_ANNOTATORS // 2, [f"{len(records) - len(shown)} between", "", "", ""])
    return markdown_table(["annotator", "answers", "right", "95 %"], rows)


def risk_rows(easy_to_hard: Mapping[str, Any]) -> Rows:
    """For each tenth of the merged labels: which, how many are compared, the share that is right, its interval."""
    groups = easy_to_hard["groups"]
    rows = []
    for i, group in enumerate(groups):
        span = f"{100 * i // len(groups)} to {100 * (i + 1) // len(groups)} % of the labels by risk"
        mean = "" if group["mean_risk"] is None else f" (mean risk {group['mean_risk']:.3f})"
        rows.append([span + mean, str(group["answers"]), *percent(group)])
    return rows


def agreement_rows(experts: Mapping[str, Any]) -> Rows:
    """For every two raters: who, how many pairs both ordered, the share alike, its interval, Cohen's kappa."""
    names, rows = experts["raters"], []
    for i, first in enumerate(names):
        for j in range(i + 1, len(names)):
            record, kappa = experts["agreement"][i][j], experts["kappa"][i][j]
            cells = [str(record["answers"]), *percent(record), "" if kappa is None else f"{kappa:.2f}"]
            rows.append([f"{first} and {names[j]}", *cells])
    return rows


def percent(record: Mapping[str, Any]) -> list[str]:
    """Accuracy and interval of a record as two cells, empty where there is none."""
    if record["accuracy"] is None:
        return ["", ""]
    low, high = record["interval"]
    return [f"{100 * record['accuracy']:.1f} %", f"({100 * low:.1f} to {100 * high:.1f})"]


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; what would break it, or be taken for HTML, is replaced."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "".join(f"| {' | '.join(map(_cell, cells))} |\n" for cells in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "/").replace("<", "&lt;")
