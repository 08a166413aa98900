"""Judges what REST answered."""

from collections.abc import Sequence
from itertools import pairwise

from app.kalshi.account_limits import AccountLimits
from app.kalshi.token_bucket import TOKENS_PER_CALL
from app.rehearsal.rest_probe import COSTS_PATH, EndpointCosts, Probed, RestProbe
from app.rehearsal.verdicts import Verdict, counted, fails, holds, not_judged
from app.store.metadata_tables import MARKETS
from app.store.tables import Row

CREATED = MARKETS.column_names.index("created_time")
# What the platform asks; the costs of others do not matter.
OUR_PATHS = ("/exchange/status", "/historical/", "/account/limits", "/markets", "/events", "/series")


def rest_verdicts(probe: RestProbe) -> list[Verdict]:
    return [
        key_signs(probe.limits, probe.probed),
        token_cost(probe.costs),
        rest_answers(probe.probed),
        rest_fits(probe.probed),
        rest_pages(probe.pages),
        markets_newest_first(probe.open_markets),
        books_by_batch(probe.tickers, probe.books_told),
        unknown_market(probe.found_unknown, probe.probed),
    ]


def key_signs(limits: AccountLimits | None, probed: Sequence[Probed]) -> Verdict:
    if limits is not None:
        refill, capacity = limits.read.refill_rate, limits.read.bucket_capacity
        tier = limits.usage_tier or "without a name"
        return holds("key_signs", f"tier {tier}: {refill} tokens a second, {capacity} at most")
    errors = [each.error for each in probed if each.name == "/account/limits" and each.error]
    return fails("key_signs", "; ".join(errors)) if errors else not_judged("key_signs", "it was not asked")


def token_cost(costs: EndpointCosts | None) -> Verdict:
    if costs is None:
        return not_judged("token_cost", "the exchange does not tell what its endpoints cost")
    others = [
        f"{each.path} costs {each.cost}"
        for each in costs.endpoint_costs
        if each.method == "GET" and each.cost > TOKENS_PER_CALL and _is_ours(each.path)
    ]
    if costs.default_cost > TOKENS_PER_CALL:
        others.append(f"by default {costs.default_cost}")
    told = f"{costs.default_cost} by default, {len(costs.endpoint_costs)} exceptions"
    return fails("token_cost", "; ".join(others)) if others else holds("token_cost", told)


def rest_answers(probed: Sequence[Probed]) -> Verdict:
    used = [each for each in probed if each.name != COSTS_PATH]
    failed = [f"{each.name}: {each.error}" for each in used if each.error is not None]
    return counted("rest_answers", "endpoints", len(used), failed)


def rest_fits(probed: Sequence[Probed]) -> Verdict:
    unfit = [f"{each.name}: {problem}" for each in probed for problem in each.unfit]
    return counted("rest_fits", "objects", sum(each.objects for each in probed), unfit)


def rest_pages(pages: Sequence[tuple[list[str], str]]) -> Verdict:
    if not pages or (len(pages) == 1 and not pages[0][1]):
        return not_judged("rest_pages", "there are not two pages of markets")
    cursors = [cursor for _, cursor in pages]
    tickers = [tickers for tickers, _ in pages]
    if len(tickers) == 2 and tickers[0] and tickers[1] and not set(tickers[0]) & set(tickers[1]):
        return holds("rest_pages", f"{tickers[0][0]}, and by its cursor {tickers[1][0]}")
    return fails("rest_pages", f"pages {tickers}, cursors {[cursor[:20] for cursor in cursors]}")


def markets_newest_first(markets: Sequence[Row]) -> Verdict:
    created = [(row[0], row[CREATED]) for row in markets if row[CREATED] is not None]
    later = [f"{after[0]} after {before[0]}" for before, after in pairwise(created) if after[1] > before[1]]
    return counted("markets_newest_first", "markets", len(created), later)


def books_by_batch(asked: Sequence[str], told: Sequence[str]) -> Verdict:
    missing = sorted(set(asked) - set(told)) + [f"{ticker}, not asked for" for ticker in set(told) - set(asked)]
    return counted("books_by_batch", "books in one request", len(asked), missing)


def unknown_market(found: Sequence[str], probed: Sequence[Probed]) -> Verdict:
    asked = [each for each in probed if each.name.endswith("unknown market")]
    wrong = [*found, *(f"{each.name}: {each.error}" for each in asked if each.error)]
    return counted("unknown_market", "requests for one", len(asked), wrong)


def _is_ours(path: str) -> bool:
    return any(part in path for part in OUR_PATHS)
