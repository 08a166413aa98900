"""How old rows were when they were received, and when production had them.

In: a sample of a day's rows in production. Out: counts by age. The sample bounds the work: of each minute, up to a
hundred rows from one second on, another second in each minute.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta

from app.report.figures import CLASSES_PER_DOUBLING, AgeFigures
from app.status.readings import Ask
from kalshi_data.layout import DAY

MINUTE = timedelta(minutes=1)
# By table, which of its rows came by the stream with a time of their own.
TABLES = {"orderbook_deltas": "NOT ts_missing", "trades": "NOT from_rest", "tickers": "NOT ts_missing"}
RECEIVED, STORED = "exchange to gatherer", "gatherer to production"
ROWS_PER_MINUTE = 100

# The smallest class whose upper bound the age does not exceed. Clocks that differ can make an age negative.
AGE_CLASS = f"ceil({CLASSES_PER_DOUBLING} * log(2, greatest(extract(epoch FROM {{age}}) * 1000, 0.001)))::INTEGER"
# Seventeen and sixty have no common factor: each second of the minute takes its turn within the hour.
SAMPLE = f"""
    SELECT age_class, is_stored, count(*) AS rows FROM (
        SELECT sampled.* FROM generate_series(%(from)s::TIMESTAMPTZ, %(last)s, INTERVAL '1 minute') AS minute
        CROSS JOIN LATERAL (
            SELECT received_at - exchange_ts AS received, {{stored}} AS stored FROM {{table}}
            WHERE exchange_ts >= minute + extract(minute FROM minute)::INTEGER * 17 %% 60 * INTERVAL '1 second'
                AND exchange_ts < minute + INTERVAL '1 minute' AND {{is_of_stream}}
            ORDER BY exchange_ts LIMIT %(rows)s
        ) AS sampled
    ) AS rows
    CROSS JOIN LATERAL (VALUES (FALSE, received), (TRUE, stored)) AS ages (is_stored, age)
    CROSS JOIN LATERAL (SELECT {AGE_CLASS.format(age="age")} AS age_class) AS classes
    WHERE age IS NOT NULL
    GROUP BY age_class, is_stored
"""  # noqa: S608 - constants
KEEPS_COMMIT_TIMES = "SELECT current_setting('track_commit_timestamp')::BOOLEAN AS keeps"


def day_ages(ask: Ask, day: datetime) -> Iterator[AgeFigures]:
    """Yield the ages of the day's rows. When production had them is known only if it keeps the times of commits
    (`track_commit_timestamp`)."""
    stored = (
        "pg_xact_commit_timestamp(xmin) - received_at" if ask(KEEPS_COMMIT_TIMES, {})[0]["keeps"] else "NULL::INTERVAL"
    )
    asked = {"from": day, "last": day + DAY - MINUTE, "rows": ROWS_PER_MINUTE}
    for table, is_of_stream in TABLES.items():
        rows = ask(SAMPLE.format(table=table, stored=stored, is_of_stream=is_of_stream), asked)
        for stage, is_stored in ((RECEIVED, False), (STORED, True)):
            counts = {row["age_class"]: row["rows"] for row in rows if row["is_stored"] is is_stored}
            if counts:
                yield AgeFigures(table=table, stage=stage, counts=counts)
