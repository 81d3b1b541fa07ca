"""A merge report as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nearfar.study.markdown import MOST_ANNOTATORS, markdown_table, percent
from nearfar.study.merge_report import FLAGS

__all__ = ["merge_markdown", "summary_markdown"]


def summary_markdown(summary: Mapping[str, Any]) -> str:
    """What `nearfar.study.merge_report.merge_summary` returns, as a short table."""
    neither = f"{summary['same']} same depth, {summary['unsure']} can't tell"
    rows = [["answers", f"{summary['answers']} ({neither})"]]
    if summary["workers"] is not None:
        rows.append(["workers", str(summary["workers"])])
    if summary["repeated"]:
        rows.append(["answers repeated by their worker", str(summary["repeated"])])
    rows.append(["pairs", f"{summary['pairs']} of {summary['poses']} poses, {_per_pair(summary)}"])
    if summary["pairs"]:
        rows += [
            ["decided", _share(summary["decided"])],
            ["mean risk", f"{summary['mean_risk']:.3f}"],
            [f"finished (risk below {summary['finished_risk']:g})", _share(summary["finished"])],
        ]
    return markdown_table(["merged", ""], rows)


def merge_markdown(report: Mapping[str, Any], figures: Sequence[str] = ()) -> str:
    """What `nearfar.study.merge_report.merge_report` returns.

    Args:
        report: the report.
        figures: image files to show, by the names that `merge_figures` gives them.
    """
    parts = ["# Merged answers", summary_markdown(report)]
    if (truth := report["truth"]) is not None and truth["right"] is not None:
        parts.append(
            f"Right, of {truth['pairs']} pairs with known depth: {_share(truth['right'])} (undecided count half)."
        )
        columns, rows = ["true depth difference, mm", "pairs", "right", "95 %"], []
        for record in truth["by_difference"]:
            upper = record["upper_mm"]
            span = f"> {record['lower_mm']:g}" if upper is None else f"{record['lower_mm']:g} to {upper:g}"
            rows.append([span, str(record["answers"]), *percent(record)])
        parts.append(markdown_table(columns, rows))
    parts += [_calibration(report["calibration"]), *_pictures(figures, "calibration"), *_pictures(figures, "risk")]
    parts.append(_by_answers(report["by_answers"]))
    if report["per_worker"]:
        parts += ["## Workers", *_pictures(figures, "workers"), _workers(report["per_worker"])]
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def _pictures(figures: Sequence[str], name: str) -> list[str]:
    return [f"![{name}]({figure})" for figure in figures if figure.rpartition(".")[0] == name]


def _calibration(calibration: Mapping[str, Any]) -> str:
    head = "## Can the probabilities be believed?\n\n"
    if not calibration["number"]:
        return head + "No pair has several answers, so none could be hidden from the merging to find out."
    against = "the truth" if calibration["against"] == "truth" else "answers that the merging did not see"
    scores = (
        f"Against {against} ({calibration['number']}): expected calibration error {100 * calibration['ece']:.1f} %, "
        f"Brier score {calibration['brier']:.3f}, log loss {calibration['log_loss']:.3f}.\n\n"
    )
    rows = [
        [f"{r['lower']:.2f} to {r['upper']:.2f}", str(r["answers"]), f"{100 * r['predicted']:.1f} %", *percent(r)]
        for r in calibration["bins"]
        if r["answers"]
    ]
    columns = ["probability of the likelier side", "number", "predicted", "came about", "95 %"]
    return head + scores + markdown_table(columns, rows)


def _by_answers(records: Sequence[Mapping[str, Any]]) -> str:
    right = any(record["right"] is not None for record in records)
    rows = [
        [
            str(record["answers"]),
            str(record["pairs"]),
            f"{record['mean_risk']:.3f}",
            _share(record["finished"]),
            *([_share(record["right"])] if right else []),
        ]
        for record in records
    ]
    columns = ["answers a pair", "pairs", "mean risk", "finished", *(["right"] if right else [])]
    return markdown_table(columns, rows)


def _workers(records: Sequence[Mapping[str, Any]]) -> str:
    """The flagged workers, and of the others those who answered most."""
    flagged = [record for record in records if record["flags"]]
    others = [record for record in records if not record["flags"]]
    shown = flagged + others[: max(MOST_ANNOTATORS - len(flagged), 0)]
    rows = [
        [
            record["annotator"],
            str(record["answers"]),
            *percent(record["agreement"]),
            _share(record["first"]),
            _share(record["unsure"]),
            "" if record["median_seconds"] is None else f"{record['median_seconds']:.1f}",
            ", ".join(record["flags"]),
        ]
        for record in shown
    ]
    columns = [
        "worker",
        "answers",
        "agrees with the others",
        "95 %",
        "first as asked",
        "can't tell",
        "median s",
        "remarks",
    ]
    left_out = f"\n{len(records) - len(shown)} more in workers.csv.\n" if len(shown) < len(records) else ""
    found = {flag for record in records for flag in record["flags"]}
    words = "".join(f"- {flag}: {meaning}\n" for flag, meaning in FLAGS.items() if flag in found)
    told = f"\nRemarks say whose answers to look at, and prove nothing:\n\n{words}" if words else ""
    return markdown_table(columns, rows) + left_out + told


def _per_pair(summary: Mapping[str, Any]) -> str:
    numbers = sorted(map(int, summary["answers_a_pair"]))
    if not numbers:
        return "no answers"
    return f"{numbers[0]} answers each" if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]} answers each"


def _share(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f} %"
