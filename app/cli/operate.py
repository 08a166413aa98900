"""Define the commands for operators: doctor, status, rehearse, coverage, backfill, token, settings, metrics."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from app.cli.options import FiniteRange, MomentType, TickerType, database_of, parsed_moment, progress, refuse_reversed
from app.documentation import rewrite, settings_table, with_settings_table
from app.errors import SettingsError
from app.runtime.clock import now_us
from app.runtime.secrets import ENTRY, LIFETIME_DAYS, LONGEST_LIFETIME_DAYS, TokenRole, new_token
from app.settings import Settings

if TYPE_CHECKING:
    from app.coverage.queries import ExchangeHour, MarketHour
    from app.doctor.check import Check
    from app.kalshi.rest_client import RestClient
    from app.polling.trades import DirectSink


DOCUMENT = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.command()
@click.pass_obj
def doctor(settings: Settings) -> None:
    """Check this host and everything that the platform needs. Exit 1 if something is wrong.

    It checks host, files, databases, the gatherers' databases, the exchange and the lake, as far as settings name
    them, and lists the processes that this host can run. It changes nothing.
    """
    from app.doctor.check import CheckState
    from app.doctor.checks import checks

    done = []
    for check in checks(settings):
        click.echo(f"{check.state.value:4} {check.subject}: {check.finding}")
        done.append(check)
    click.echo(f"this host can run: {'; '.join(_runs(done))}")
    if any(check.state is CheckState.FAIL for check in done):
        sys.exit(1)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object, as /admin/status answers it.")
@click.pass_obj
def status(settings: Settings, *, as_json: bool) -> None:
    """Say in one sentence whether everything is all right, from production. Exit 0: green. Exit 1: amber or red.

    Otherwise the worst problem follows, and what mends it.
    """
    import msgspec

    from app.postgres.connection import connected
    from app.postgres.databases import DatabaseKind
    from app.status.readings import asked_over, named_gatherers, read_verdict

    with database_of(settings, DatabaseKind.PRODUCTION) as dsn, connected(dsn, "status") as connection:
        verdict = read_verdict(asked_over(connection), named_gatherers(settings))
    if as_json:
        click.echo(msgspec.json.encode(verdict))
    else:
        click.echo(f"{verdict.level}: {verdict.sentence}")
        if verdict.problem is not None:
            click.echo(f"{verdict.problem}\nFix: {verdict.remedy}")
    if verdict.level != "green":
        sys.exit(1)


def _runs(done: list["Check"]) -> list[str]:
    """Return, for each process, whether this host can run it or why not."""
    from app.doctor.check import hindrances

    found = hindrances(done).items()
    return [f"{process} " + (f"no ({', '.join(why)})" if why else "yes") for process, why in found]


@click.command()
@click.option("--seconds", default=60.0, show_default=True, type=FiniteRange(1, 600), help="How long to listen.")
@click.option(
    "--markets",
    default=10,
    show_default=True,
    type=click.IntRange(1, 100),
    help="How many of the busiest markets to watch.",
)
@click.option(
    "--sockets",
    type=click.IntRange(0, 1_000),
    help="Sockets to open at once. Default: those of all gatherers together. Give 0 while gatherers use this key.",
)
@click.option("--bundle", type=click.Path(path_type=Path, dir_okay=False), help="File for a bug report (.tar.gz).")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--list", "lists", is_flag=True, help="Only print the table of assumptions.")
@click.option(
    "--write",
    "file",
    type=DOCUMENT,
    help="Only write that table into this file.",
)
@click.pass_obj
def rehearse(
    settings: Settings,
    *,
    seconds: float,
    markets: int,
    sockets: int | None,
    bundle: Path | None,
    as_json: bool,
    lists: bool,
    file: Path | None,
) -> None:
    """Test every assumption about the exchange against the real one. It only reads, for a few minutes.

    Exit 0: every assumption holds, or could not be judged. Exit 1: one does not hold. The bundle holds samples of
    the exchange's data and no keys; it is written to KALSHI_DATA_DIR/rehearsals if no file is given.
    """
    import msgspec

    from app.documentation import assumptions_table, with_assumptions_table

    if file is not None:
        rewrite(file, with_assumptions_table)
        return
    if lists:
        click.echo(assumptions_table())
        return
    from app.rehearsal.rehearsal import RehearsalPlan, rehearse
    from app.rehearsal.report import prepare_bundle, write_bundle

    path = bundle or settings.data_dir / "rehearsals" / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}.tar.gz"
    prepare_bundle(path)
    report = rehearse(settings, RehearsalPlan(seconds, markets, sockets), lambda text: click.echo(text, err=True))
    write_bundle(path, report, settings)
    click.echo(msgspec.json.encode(report.facts()) if as_json else "\n".join(report.lines()))
    click.echo(f"{path} may be attached to a bug report: it holds samples of the exchange's data", err=True)
    if not report.is_sound:
        sys.exit(1)


HOUR_FORMAT = "%Y-%m-%d %H:%M"


def moment(_context: click.Context, _parameter: click.Parameter, value: str | None) -> datetime | None:
    """Parse a time for an option; without a zone it is UTC."""
    return None if value is None else parsed_moment(value)


@click.command()
@click.argument("ticker", required=False, type=TickerType())
@click.option(
    "--from", "start", callback=moment, metavar="TIME", help="Default: 24 hours before --to. Without a zone: UTC."
)
@click.option("--to", "end", callback=moment, metavar="TIME", help="Default: now.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
@click.pass_obj
def coverage(
    settings: Settings, ticker: str | None, start: datetime | None, end: datetime | None, as_json: bool
) -> None:
    """Show how complete the record of a market is, or of the exchange. Hour by hour, with the holes of each."""
    import msgspec

    from app.coverage.evidence import HeardPeriod
    from app.coverage.queries import exchange_hours, market_hours, refuse_unknown_market
    from app.postgres.connection import connected
    from app.postgres.databases import DatabaseKind

    end = end or datetime.now(UTC)
    period = HeardPeriod(start or end - timedelta(hours=24), end)
    refuse_reversed(*period)
    found: list[MarketHour] | list[ExchangeHour]
    with database_of(settings, DatabaseKind.PRODUCTION) as dsn, connected(dsn, "coverage") as connection:
        found = market_hours(connection, ticker, period) if ticker else exchange_hours(connection, period)
        if ticker and not found:
            refuse_unknown_market(connection, ticker)
    for each in found:
        click.echo(msgspec.json.encode(each._asdict()) if as_json else _line(each))
    if not found:
        click.echo("Nothing was recorded in that time, or it has not been judged yet.", err=True)


def _line(each: "MarketHour | ExchangeHour") -> str:
    from app.coverage.queries import MarketHour

    return _market_line(each) if isinstance(each, MarketHour) else _exchange_line(each)


def _market_line(each: "MarketHour") -> str:
    parts = [f"{each.hour:{HOUR_FORMAT}}  {each.channel:<24} {each.state}"]
    parts += [f"hole {start} to {end}" for start, end in each.holes]
    parts += [f"repaired {start} to {end}" for start, end in each.repaired]
    if each.repaired_by:
        parts.append(f"by {', '.join(each.repaired_by)}")
    if each.proven_until:
        parts.append(f"proven until {each.proven_until:%Y-%m-%d %H:%M:%S}")
    return "; ".join(parts)


def _exchange_line(each: "ExchangeHour") -> str:
    known = "settled" if each.is_settled else f"known until {each.known_until:{HOUR_FORMAT}}"
    return "; ".join(
        [f"{each.hour:{HOUR_FORMAT}}  {known}", f"{each.markets_with_holes} books with holes", *_holes(each)]
    )


def _holes(each: "ExchangeHour") -> Iterator[str]:
    for channel, bounds in sorted(each.holes.items()):
        yield from (f"{channel} hole {start} to {end}" for start, end in bounds)


HOUR_US = 3_600_000_000
PATIENCE_SECONDS = 300
FIRST_ANSWER_SECONDS = 10


@click.command()
@click.option("--from", "started_us", required=True, type=MomentType(), help="Such as 2026-11-21T15:00:00Z.")
@click.option("--to", "ended_us", required=True, type=MomentType(), help="Such as 2026-11-21T16:00:00Z.")
@click.option("--ticker", type=TickerType(), help="Of one market; of all, if not given.")
@click.pass_obj
def backfill(settings: Settings, started_us: int, ended_us: int, ticker: str | None) -> None:
    """Fetch the trades of a time from REST into a gatherer's database. Existing rows stay as they are.

    Trades of long ago come from the exchange's archive. Order books it does not keep at all.
    """
    from app.polling.trades import BackFilled
    from app.polling.trades import backfill as fetch
    from app.storage.tables import TRADES

    refuse_reversed(started_us, ended_us)
    if started_us >= now_us():
        raise click.BadParameter("it is in the future", param_hint="--from")
    starts = range(started_us, ended_us, HOUR_US)
    fetched = BackFilled(0, 0)
    with _client(settings) as client, _sink(settings) as sink, progress(starts, "Fetching hours") as hours:
        for start_us in hours:
            end_us = min(start_us + HOUR_US, ended_us)
            done = fetch(client, sink, start_us, end_us, now_us, ticker)
            fetched = BackFilled(fetched.trades + done.trades, fetched.unfit + done.unfit)
    new = sink.inserted.get(TRADES.name, 0)
    click.echo(f"fetched {fetched.trades} trades, {new} of them new; {fetched.unfit} in quarantine")
    if not fetched.trades:
        click.echo("The exchange has no such trades: check --from, --to and --ticker.", err=True)


@contextmanager
def _client(settings: Settings) -> Iterator["RestClient"]:
    from app.kalshi.request_budget import Priority
    from app.kalshi.rest_client import RestClient
    from app.kalshi.rest_transport import transport_of

    transport = transport_of(settings, threading.Event())
    client = RestClient(transport, Priority.REPAIR, PATIENCE_SECONDS)
    try:
        # Fail soon if the exchange cannot be reached at all; the client's long patience is meant for outages.
        transport.status(Priority.REPAIR, FIRST_ANSWER_SECONDS)
        client.adopt_account_limits(settings.request_sharers)
        yield client
    finally:
        transport.close()


@contextmanager
def _sink(settings: Settings) -> Iterator["DirectSink"]:
    from app.polling.trades import DirectSink
    from app.postgres.databases import DatabaseKind, open_databases

    with open_databases(settings) as databases:
        dsn = dict(databases).get(DatabaseKind.TIMESERIES)
        if dsn is None:
            raise SettingsError(
                "There is no database for trades.", "KALSHI_TS_DSN is not set.", "set it to the gatherer's."
            )
        sink = DirectSink(dsn)
        try:
            yield sink
        finally:
            sink.close()


@click.command()
@click.argument("name")
@click.option("--role", type=click.Choice(["read", "operate"]), default="read", show_default=True)
@click.option(
    "--days",
    type=click.IntRange(1, LONGEST_LIFETIME_DAYS),
    default=LIFETIME_DAYS,
    show_default=True,
    help="Days until it expires.",
)
def token(name: str, role: str, days: int) -> None:
    """Make a token for the admin service. It is shown once; the line for KALSHI_ADMIN_TOKENS_FILE holds its digest and
    the day on which it expires."""
    expires = datetime.now(UTC).date() + timedelta(days=days)
    presented, made = new_token(name, TokenRole[role.upper()], expires)
    if ENTRY.fullmatch(made.entry) is None:
        raise click.BadParameter("letters, digits, dots, hyphens and underscores, at most 64.", param_hint="NAME")
    click.echo(f"token:   {presented}")
    click.echo(f"line:    {made.entry}")
    click.echo(f"expires: {expires.isoformat()} at 00:00 UTC")


@click.command(name="settings")
@click.option(
    "--write",
    "file",
    type=DOCUMENT,
    help="Put the table into this file.",
)
def settings_command(file: Path | None) -> None:
    """Show every setting, its default and what it means."""
    if file is None:
        click.echo(settings_table())
    else:
        rewrite(file, with_settings_table)


@click.command(name="metrics")
@click.option(
    "--write",
    "file",
    type=DOCUMENT,
    help="Put the table into this file.",
)
def metrics_command(file: Path | None) -> None:
    """Show every metric, its labels and what it means."""
    from app.ops.metrics_table import metrics_table, with_metrics_table

    if file is None:
        click.echo(metrics_table())
    else:
        rewrite(file, with_metrics_table)
