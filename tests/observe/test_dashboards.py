"""The dashboard and the alert rules speak of metrics that there are, in PromQL that parses, and of pages that exist."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from campana.metrics import Metrics

ROOT = Path(__file__).parents[2]
DASHBOARD = ROOT / "deploy" / "grafana" / "campana.json"
RULES = ROOT / "deploy" / "prometheus" / "alerts.yaml"
RULES_TEST = ROOT / "deploy" / "prometheus" / "alerts_test.yaml"
VARIABLES = {"$__rate_interval": "5m", "$instance": ".*", "$job": "campana", "$datasource": ""}
OF_PROMETHEUS = {"up": {"job", "instance"}}
EVERYWHERE = {"job", "instance", "le"}
MADE_BY_QUERIES = {"outcome"}


def metrics() -> dict[str, set[str]]:
    """Every name that a sample may have, with its labels."""
    made = Metrics()
    found = {name: labels | EVERYWHERE for name, labels in OF_PROMETHEUS.items()}
    for each in made.described:
        endings = ("_bucket", "_sum", "_count") if each.kind == "histogram" else ("",)
        found |= {each.name + ending: {*each.labels} | EVERYWHERE for ending in endings}
    for family in made.registry.collect():
        for sample in family.samples:
            found.setdefault(sample.name, {*sample.labels} | EVERYWHERE)
    return found


METRICS = metrics()


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(DASHBOARD.read_text("utf-8"))["panels"]
    return found


def of_dashboard() -> Iterator[tuple[str, str]]:
    for panel in panels():
        for target in panel.get("targets", ()):
            yield f"{panel['title']} {target['refId']}", target["expr"]
    for each in json.loads(DASHBOARD.read_text("utf-8"))["annotations"]["list"]:
        yield each["name"], each["expr"]


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES.read_text("utf-8"))["groups"] for rule in group["rules"]]


def plain(expression: str) -> str:
    """Without what Grafana fills in."""
    for name, value in VARIABLES.items():
        expression = expression.replace(name, value)
    assert "$" not in re.sub(r"\$\{1\}|\$1", "", expression), expression
    return expression


EXPRESSIONS = {
    **{f"dashboard: {name}": plain(expression) for name, expression in of_dashboard()},
    **{f"rule: {rule['alert']}": rule["expr"] for rule in rules()},
}


def parts(node: Any) -> Iterator[Any]:
    """A parsed expression and all that it is made of."""
    yield node
    below = [getattr(node, name, None) for name in ("lhs", "rhs", "expr", "vector_selector", "param")]
    for each in (*below, *(getattr(node, "args", None) or ())):
        if each is not None:
            yield from parts(each)


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_expressions_parse_and_name_what_there_is(name: str) -> None:
    tree = [*parts(promql_parser.parse(EXPRESSIONS[name]))]
    selectors = [part for part in tree if isinstance(part, promql_parser.VectorSelector)]

    assert selectors or not name.startswith("rule")
    labels: set[str] = set(MADE_BY_QUERIES)
    for selector in selectors:
        assert selector.name in METRICS
        assert {matcher.name for matcher in selector.matchers.matchers} <= METRICS[selector.name]
        labels |= METRICS[selector.name]
    for part in tree:
        if isinstance(part, promql_parser.AggregateExpr) and part.modifier is not None:
            assert {*part.modifier.labels} <= labels


def test_counters_are_asked_for_their_rates_only() -> None:
    """A counter's number alone says when the process was started."""
    for name, expression in EXPRESSIONS.items():
        tree = [*parts(promql_parser.parse(expression))]
        ranged = [part.vector_selector.name for part in tree if isinstance(part, promql_parser.MatrixSelector)]
        every = [part.name for part in tree if isinstance(part, promql_parser.VectorSelector)]
        rising = [each for each in every if each.endswith(("_total", "_bucket", "_sum", "_count"))]
        assert len(rising) == len([each for each in ranged if each in rising]), name


def test_every_metric_of_the_program_is_on_the_dashboard() -> None:
    shown = " ".join(expression for name, expression in EXPRESSIONS.items() if name.startswith("dashboard"))

    missing = [each.name for each in Metrics().described if each.name not in shown]

    assert missing == []


def test_panels_say_what_they_show_and_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        assert panel["type"] == "row" or panel["description"].endswith("."), panel["title"]
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
    ids = [panel["id"] for panel in panels()]
    assert len(ids) == len({*ids})


def test_legends_use_labels_that_the_expression_leaves() -> None:
    for panel in panels():
        for target in panel.get("targets", ()):
            tree = [*parts(promql_parser.parse(plain(target["expr"])))]
            kept: set[str] = set(MADE_BY_QUERIES)
            for part in tree:
                if isinstance(part, promql_parser.AggregateExpr) and part.modifier is not None:
                    kept |= {*part.modifier.labels}
                if isinstance(part, promql_parser.VectorSelector):
                    kept |= {"instance"}
            assert {*re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])} <= kept, target


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_every_alert_has_a_severity_a_summary_and_a_runbook_that_exists(rule: dict[str, Any]) -> None:
    page, _, anchor = rule["annotations"]["runbook"].partition("#")
    headings = re.findall(r"^#+ (.+)$", (ROOT / page).read_text("utf-8"), re.MULTILINE)

    assert anchor == rule["alert"].lower()
    assert rule["alert"] in headings
    assert rule["labels"]["severity"] in ("critical", "warning", "info")
    assert rule["annotations"]["summary"]


def promtool(*arguments: str) -> None:
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("promtool is not installed (Debian's package prometheus)")
    run = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


def test_prometheus_takes_the_rules() -> None:
    promtool("check", "rules", str(RULES))


def test_prometheus_takes_the_dashboards_expressions(tmp_path: Path) -> None:
    recorded = [{"record": f"panel:{number}", "expr": each} for number, each in enumerate(EXPRESSIONS.values())]
    (tmp_path / "panels.yaml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": recorded}]}))

    promtool("check", "rules", str(tmp_path / "panels.yaml"))


def test_alerts_fire_when_they_should() -> None:
    promtool("test", "rules", str(RULES_TEST))
