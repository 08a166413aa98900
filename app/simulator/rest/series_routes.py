from typing import Any

import msgspec
from flask import Blueprint, Response

from app.simulator.decimals import contracts
from app.simulator.listing import Series
from app.simulator.rest.problems import not_found
from app.simulator.rest.queries import SeriesListQuery, SeriesQuery, read_query
from app.simulator.rest.site import Site, json_response
from app.simulator.timestamps import whole_seconds


def series_routes(site: Site) -> Blueprint:
    routes = Blueprint("series", __name__)

    @routes.get("/series")
    def series_list() -> Response:
        """All of them at once: this list has no pages."""
        query = read_query(SeriesListQuery)
        every = map(site.catalog.series, range(site.catalog.series_count))
        found = [_body(site, series, query.include_volume) for series in every if _is_meant(site, series, query)]
        return json_response(msgspec.json.encode({"series": found}), cached=True)

    @routes.get("/series/<ticker>")
    def series(ticker: str) -> Response:
        index = site.catalog.index_of_series(ticker)
        if index is None:
            raise not_found()
        with_volume = read_query(SeriesQuery).include_volume
        body = _body(site, site.catalog.series(index), with_volume)
        return json_response(msgspec.json.encode({"series": body}), cached=True)

    return routes


def _is_meant(site: Site, series: Series, query: SeriesListQuery) -> bool:
    tags = [tag for tag in query.tags.split(",") if tag]
    return (
        (not query.category or series.category == query.category)
        and (not tags or any(tag in series.tags for tag in tags))
        and (query.min_updated_ts is None or site.catalog.start_us > query.min_updated_ts * 1_000_000)
    )


def _body(site: Site, series: Series, with_volume: bool) -> dict[str, Any]:
    volume = {"volume_fp": contracts(site.volume_of_series(series.number))} if with_volume else {}
    return {
        "ticker": series.ticker,
        "frequency": series.frequency,
        "title": series.title,
        "category": series.category,
        "categories": [series.category],
        "tags": list(series.tags),
        "settlement_sources": [{"name": "The simulated wire", "url": "https://example.com/results"}],
        "contract_url": f"https://example.com/contracts/{series.ticker}.pdf",
        "contract_terms_url": f"https://example.com/terms/{series.ticker}.pdf",
        "fee_type": series.fee_type,
        "fee_multiplier": series.fee_multiplier,
        "additional_prohibitions": [],
        "last_updated_ts": whole_seconds(site.catalog.start_us),
        "exchange_index": series.exchange_index,
        **volume,
    }
