"""The report as a page that works without scripts, and alone when it is saved."""

from __future__ import annotations

from typing import Any

from flask import Response, render_template

from api.plots import HEIGHT, WIDTH, Bar, bars_of, ranges
from api.schemas.report import MigrationReportResponse

#: The page brings its own style and loads nothing.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"

_SHARES = [f"{share} % the same" for share in range(0, 101, 10)]


def report_values(report: MigrationReportResponse) -> dict[str, Any]:
    """What ``report_body.html`` shows."""
    details = {check.name: check.details for check in report.checks}
    return {
        "report": report,
        "overlap": _overlap(details.get("neighbourhoods", {})),
        "scores": _scores(details.get("scores", {})),
        "slices": details.get("slices", {}),
        "thresholds": details.get("scores", {}).get("thresholds", []),
        "width": WIDTH,
        "height": HEIGHT,
    }


def page_of(report: MigrationReportResponse) -> Response:
    html = render_template("report.html", **report_values(report))
    response = Response(html, content_type="text/html; charset=utf-8")
    response.headers["Content-Security-Policy"] = POLICY
    return response


def _overlap(details: dict[str, Any]) -> list[Bar]:
    counts = details.get("histogram", [])
    return bars_of([("rows", counts)], _SHARES) if len(counts) == len(_SHARES) else []


def _scores(details: dict[str, Any]) -> dict[str, Any] | None:
    if not details:
        return None
    low, high = details["lowest"], details["highest"]
    series = [("before", details["before"]), ("after", details["after"])]
    columns = len(details["before"])
    return {"bars": bars_of(series, ranges(low, high, columns)), "low": low, "high": high}
