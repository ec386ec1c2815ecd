"""From a few words to a Grafana dashboard: the one look that all of ours have."""

from collections.abc import Sequence
from typing import Literal

import msgspec
from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, table, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as common_models
from grafana_foundation_sdk.models import dashboard as models

Kind = Literal["lines", "number", "rows"]
SOURCE = models.DataSourceRef(type_val="prometheus", uid="${datasource}")
_WIDTHS = {"lines": 12, "number": 4, "rows": 24}
_HEIGHTS = {"lines": 8, "number": 4, "rows": 8}


class Panel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One panel: `queries` are (PromQL, legend); `limit` is drawn as a red line or colours a number."""

    title: str
    about: str
    queries: Sequence[tuple[str, str]]
    unit: str = "short"
    kind: Kind = "lines"
    limit: float | None = None
    low_is_bad: bool = False


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Panels under one heading."""

    title: str
    panels: Sequence[Panel]


class Board(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One dashboard: rows of panels, and variables as (name, metric, label) that may be several or all."""

    uid: str
    title: str
    about: str
    rows: Sequence[Row]
    variables: Sequence[tuple[str, str, str]] = ()


def to_json(board: Board) -> str:
    """Render a dashboard as Grafana imports it."""
    builder = (
        dashboard.Dashboard(board.title)
        .uid(board.uid)
        .description(board.about)
        .tags(["shortlist"])
        .refresh("10s")
        .time("now-1h", "now")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .link(_siblings())
        .with_variable(dashboard.DatasourceVariable("datasource").type("prometheus").label("Prometheus"))
        .with_variable(_variable("job", "shortlist_workers", "job"))
    )
    for name, metric, label in board.variables:
        builder = builder.with_variable(_variable(name, f'{metric}{{job=~"$job"}}', label))
    for row in board.rows:
        builder = builder.with_row(dashboard.Row(row.title))
        for panel in row.panels:
            builder = builder.with_panel(_panel(panel))
    return JSONEncoder(sort_keys=True, indent=2).encode(builder.build()) + "\n"


def _variable(name: str, series: str, label: str) -> dashboard.QueryVariable:
    return (
        dashboard.QueryVariable(name)
        .label(name)
        .datasource(SOURCE)
        .query(f"label_values({series}, {label})")
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
        .multi(multi=True)
        .include_all(include_all=True)
        .all_value(".*")
    )


def _siblings() -> dashboard.DashboardLink:
    link = dashboard.DashboardLink("Shortlist")
    link = link.type(models.DashboardLinkType.DASHBOARDS)
    return link.tags(["shortlist"]).as_dropdown(as_dropdown=True).keep_time(keep_time=True)


def _panel(panel: Panel) -> "timeseries.Panel | stat.Panel | table.Panel":
    makers = {"lines": timeseries.Panel, "number": stat.Panel, "rows": table.Panel}
    built = makers[panel.kind]().title(panel.title).description(panel.about).unit(panel.unit).datasource(SOURCE)
    built = built.span(_WIDTHS[panel.kind]).height(_HEIGHTS[panel.kind])
    for index, (expression, legend) in enumerate(panel.queries):
        query = prometheus.Dataquery().expr(expression).legend_format(legend).ref_id(chr(ord("A") + index))
        now = panel.kind != "lines"
        query = query.instant().format("table" if panel.kind == "rows" else "time_series") if now else query.range()
        built = built.with_target(query)
    if panel.kind == "lines":
        legend_options = common.VizLegendOptions().display_mode(common_models.LegendDisplayMode.TABLE)
        built = built.legend(
            legend_options.placement(common_models.LegendPlacement.BOTTOM).calcs(["lastNotNull", "max"])
        )
        built = built.fill_opacity(8).show_points(common_models.VisibilityMode.NEVER)
    return built if panel.limit is None else _limited(built, panel)


def _limited(
    built: "timeseries.Panel | stat.Panel | table.Panel", panel: Panel
) -> "timeseries.Panel | stat.Panel | table.Panel":
    below, above = ("red", "green") if panel.low_is_bad else ("green", "red")
    steps = [models.Threshold(value=None, color=below), models.Threshold(value=panel.limit, color=above)]
    built = built.thresholds(dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps))
    if panel.kind == "lines":
        line = common.GraphThresholdsStyleConfig().mode(common_models.GraphTresholdsStyleMode.LINE)
        built = built.thresholds_style(line)
    return built
