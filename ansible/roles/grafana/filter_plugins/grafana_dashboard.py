"""Dashboards are written in a few lines of YAML; this makes of them what Grafana reads."""

from __future__ import annotations

from typing import Any

COLUMNS = 24
PANEL_HEIGHT = 8
STAT_HEIGHT = 4
DATASOURCE = {"type": "prometheus", "uid": "prometheus"}


def grafana_dashboard(written: dict[str, Any]) -> dict[str, Any]:
    return {
        "uid": written["uid"],
        "title": written["title"],
        "description": written["description"],
        "tags": ["kalshi-data"],
        "timezone": "utc",
        "schemaVersion": 38,
        "editable": False,
        "refresh": written["refresh"],
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": [_variable(name, query) for name, query in written.get("variables", {}).items()]},
        "panels": _panels(written["rows"]),
    }


def _panels(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    panels: list[dict[str, Any]] = []
    top = 0
    for row in rows:
        panels.append({"type": "row", "title": row["title"], "gridPos": _place(0, top, COLUMNS, 1), "panels": []})
        top += 1
        width = COLUMNS // len(row["panels"])
        height = STAT_HEIGHT if all(panel.get("kind") == "stat" for panel in row["panels"]) else PANEL_HEIGHT
        for column, panel in enumerate(row["panels"]):
            panels.append(_panel(panel, _place(column * width, top, width, height)))
        top += height
    return [{"id": number, **panel} for number, panel in enumerate(panels, 1)]


def _panel(panel: dict[str, Any], place: dict[str, int]) -> dict[str, Any]:
    defaults: dict[str, Any] = {"unit": panel.get("unit", "short"), "min": 0}
    if "thresholds" in panel:
        defaults["thresholds"] = {"mode": "absolute", "steps": _steps(panel["thresholds"])}
    return {
        "type": panel.get("kind", "timeseries"),
        "title": panel["title"],
        "description": panel.get("description", ""),
        "datasource": DATASOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "targets": [_target(index, query) for index, query in enumerate(panel["queries"])],
    }


def _target(index: int, query: dict[str, str]) -> dict[str, Any]:
    return {
        "refId": chr(ord("A") + index),
        "datasource": DATASOURCE,
        "expr": query["expr"],
        "legendFormat": query.get("legend", ""),
    }


def _steps(thresholds: dict[str, float | None]) -> list[dict[str, Any]]:
    """From which value on a colour is shown; the first has none, being where it begins."""
    return [{"color": colour, "value": value} for colour, value in thresholds.items()]


def _variable(name: str, query: str) -> dict[str, Any]:
    return {
        "name": name,
        "type": "query",
        "datasource": DATASOURCE,
        "query": query,
        "refresh": 2,
        "includeAll": True,
        "multi": True,
        "current": {"text": "All", "value": "$__all"},
    }


def _place(left: int, top: int, width: int, height: int) -> dict[str, int]:
    return {"x": left, "y": top, "w": width, "h": height}


class FilterModule:
    """What Ansible looks for."""

    @staticmethod
    def filters() -> dict[str, Any]:
        return {"grafana_dashboard": grafana_dashboard}
