"""Alert rules, the dashboard and the reference speak of metrics and labels that there are."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from api.metrics.catalogue import ALL
from api.metrics.requests import DURATIONS
from devstack.server import PROJECT
from tests.fakes.api_client import Api

OPERATIONS = PROJECT / "docs" / "operations"
Labels = Mapping[str, tuple[str, ...] | None]
#: What Prometheus itself adds to every series.
TARGET: Labels = {"job": None, "instance": None}
WORDS = {
    *("sum", "max", "min", "rate", "delta", "deriv", "increase", "histogram_quantile"),
    *("by", "without", "offset", "and", "or", "unless"),
}
_SELECTOR = re.compile(r"([a-zA-Z_:][\w:]*)\{([^}]*)\}")
_MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"')
_AGGREGATION = re.compile(
    r"[\d. *]*(?:histogram_quantile\([\d.]+, )?(?:sum|max|min)\b( by \((.*?)\))?"
)
_DURATION = re.compile(r"\[\w+\]|\b\d[\d.]*[smhd]?\b")


@cache
def exposed() -> dict[str, Labels]:
    """Names of samples as a scrape has them, with what their labels may be."""
    api = Api()
    migration = api.start()
    api.world.store.record_failed_chunk(migration.id, "k", "text-too-long", "It is too long.")
    api.world.deliver()
    api.get("/bots")
    text = api.get("/metrics", "admin-token").text
    told = {one.name: one for one in text_string_to_metric_families(text)}
    found: dict[str, Labels] = {"up": TARGET}
    for metric in ALL:
        assert metric.name.removesuffix("_total") in told
        found[metric.name] = {**metric.labels, **TARGET}
    assert DURATIONS.name in told
    for ending in ("bucket", "sum", "count"):
        le = {"le": None} if ending == "bucket" else {}
        found[f"{DURATIONS.name}_{ending}"] = {**DURATIONS.labels, **le, **TARGET}
    return found | {name: TARGET for name in told if name.startswith("process_")}


def alerts() -> list[dict[str, Any]]:
    read = yaml.safe_load((OPERATIONS / "alerts.yaml").read_text())
    return [rule for group in read["groups"] for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    read = json.loads((OPERATIONS / "grafana-dashboard.json").read_text())
    return [panel for panel in read["panels"] if panel["type"] != "row"]


def expressions() -> Iterator[Any]:
    for rule in alerts():
        yield pytest.param(rule["expr"], id=rule["alert"])
    for panel in panels():
        for target in panel["targets"]:
            yield pytest.param(target["expr"], id=f"{panel['title']} {target['refId']}")


def faults(expression: str) -> list[str]:
    """What in it is no metric, label, value or word of the language."""
    found = []
    for name, matchers in _SELECTOR.findall(expression):
        for label, how, value in _MATCHER.findall(matchers):
            allowed = exposed().get(name, {}).get(label, ())
            values = value.split("|") if how in {"=~", "!~"} else [value]
            if allowed is not None:
                found += [f"{name} {label}={one}" for one in values if one not in allowed]
    bare = _DURATION.sub("", _SELECTOR.sub(r"\1", expression))
    names = re.findall(r"[a-zA-Z_:][\w:]*", bare)
    metrics = [name for name in names if name in exposed()]
    labels = {label for name in metrics for label in exposed()[name]}
    found += [n for n in names if n not in exposed() and n not in WORDS and n not in labels]
    return found if metrics else [*found, "no metric"]


@pytest.mark.parametrize("expression", list(expressions()))
def test_an_expression_speaks_of_what_is_exposed(expression: str) -> None:
    assert [] == faults(expression)


@pytest.mark.parametrize(
    ("expression", "fault"),
    [
        ("max(reembed_migration)", "reembed_migration"),
        ('reembed_migrations{state="failed"}', "reembed_migrations state=failed"),
        ('reembed_migrations{status="lost"}', "reembed_migrations status=lost"),
        ('reembed_migrations{status=~"failed|lost"}', "reembed_migrations status=lost"),
        ("sum by (owner) (reembed_bots)", "owner"),
        ("average(reembed_bots)", "average"),
        ("1 > 0", "no metric"),
    ],
)
def test_what_is_not_exposed_is_found(expression: str, fault: str) -> None:
    assert fault in faults(expression)


@pytest.mark.parametrize("rule", [pytest.param(rule, id=rule["alert"]) for rule in alerts()])
def test_an_alert_says_what_is_wrong_how_bad_it_is_and_names_only_labels_it_has(
    rule: dict[str, Any],
) -> None:
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    assert rule["annotations"]["summary"].endswith(".")
    used = set(re.findall(r"\$labels\.(\w+)", str(rule["annotations"])))
    assert used <= _kept(rule["expr"])


@pytest.mark.parametrize("panel", [pytest.param(one, id=one["title"]) for one in panels()])
def test_a_legend_names_only_labels_it_has(panel: dict[str, Any]) -> None:
    for target in panel["targets"]:
        used = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
        assert used <= _kept(target["expr"])


def _kept(expression: str) -> set[str]:
    """Labels of the result: those of the first ``by``, none of an aggregation without one."""
    outermost = _AGGREGATION.match(expression)
    if outermost:
        return set(re.findall(r"\w+", outermost[2] or ""))
    names = [name for name in re.findall(r"\w+", expression) if name in exposed()]
    return set(exposed()[names[0]])


def test_every_metric_is_on_the_dashboard_or_alerted_of() -> None:
    used = " ".join(str(one.values[0]) for one in expressions())
    unused = [m.name for m in (*ALL, DURATIONS) if m.name not in used]
    assert [] == unused


def test_panels_do_not_lie_on_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert max(x for x, _ in cells) < 24
        assert not cells & taken, panel["title"]
        taken |= cells
