"""Histories in which something was claimed once that was not there."""

import pytest

from tests.claims.moments import SECOND_US


def test_a_market_that_is_learnt_of_when_its_hour_was_judged(history):
    history.begin(skew_us=0)
    history.all_goes_well(seconds=5)
    history.time_passes(seconds=3)
    history.all_goes_well(seconds=5)
    history.market_is_learnt_of_late(opened=12, closed=3, then=0, works=False)


@pytest.mark.parametrize("skew_seconds", [-4, 4])
def test_a_hole_in_the_journal_of_a_clock_that_is_wrong(history, skew_seconds):
    history.begin(skew_us=skew_seconds * SECOND_US)
    history.all_goes_well(seconds=1)
    history.network_changes(name="a", is_online=False, then=3, works=False)
    history.network_changes(name="a", is_online=True, then=3, works=True)
    history.all_goes_well(seconds=5)


@pytest.mark.parametrize("skew_seconds", [-4, 4])
def test_a_clock_that_is_set_before_the_network_goes(history, skew_seconds):
    history.begin(skew_us=0)
    history.all_goes_well(seconds=3)
    history.clock_is_set(name="a", skew_us=skew_seconds * SECOND_US, then=0, works=False)
    history.network_changes(name="a", is_online=False, then=3, works=False)
    history.network_changes(name="a", is_online=True, then=3, works=True)
    history.all_goes_well(seconds=5)


def test_a_host_that_slept(history):
    history.begin(skew_us=0)
    history.all_goes_well(seconds=1)
    history.host_sleeps(name="a", seconds=50, is_cut=True, then=1, works=False)
    history.all_goes_well(seconds=5)


def test_a_database_that_is_made_anew_under_a_living_process(history):
    history.begin(skew_us=0)
    history.all_goes_well(seconds=1)
    history.time_passes(seconds=3)
    history.database_is_made_anew(name="a", then=3, works=True)
    history.all_goes_well(seconds=5)


def test_a_database_that_is_made_anew_while_a_spool_waits(history):
    history.begin(skew_us=0)
    history.all_goes_well(seconds=1)
    history.time_passes(seconds=3)
    history.database_goes_or_comes(name="a", is_away=True, then=3, works=True)
    history.gatherer_stops(name="a", then=1, works=False)
    history.database_is_made_anew(name="a", then=0, works=False)
    history.gatherer_starts(name="a", then=3, works=True)
    history.all_goes_well(seconds=5)


def test_a_database_that_is_put_back_under_a_living_process(history):
    history.begin(skew_us=0)
    history.all_goes_well(seconds=1)
    history.database_is_backed_up(name="a", then=1, works=True)
    history.socket_ends(name="a", line=1, then=3, works=True)
    history.time_passes(seconds=3)
    history.database_is_put_back(name="a", then=1, works=False)
    history.socket_ends(name="a", line=2, then=3, works=True)
    history.all_goes_well(seconds=5)


def test_production_that_was_away_while_a_host_slept(history):
    history.begin(skew_us=0)
    history.all_goes_well(seconds=1)
    history.production_goes_or_comes(is_away=True, then=1, works=True)
    history.host_sleeps(name="a", seconds=5, is_cut=True, then=1, works=True)
    history.production_goes_or_comes(is_away=False, then=3, works=True)
    history.tables_are_divided_anew(shards=3, then=1, works=True)
    history.all_goes_well(seconds=5)


def test_a_spooled_record_that_is_damaged(history):
    history.begin(skew_us=0)
    history.all_goes_well(seconds=1)
    history.spool_is_damaged(name="a", file=0, percent=51, bit=6, then=3, works=True)
    history.database_goes_or_comes(name="a", is_away=False, then=1, works=True)


def test_a_damaged_length_of_the_last_record_of_a_file(history):
    history.begin(skew_us=0)
    history.all_goes_well(seconds=1)
    history.spooled_length_is_damaged(name="a", file=0, bit=6, then=0, works=False)
    history.database_goes_or_comes(name="a", is_away=False, then=3, works=True)
    history.all_goes_well(seconds=1)


def test_a_run_of_which_nothing_was_known_when_its_database_was_made_anew(history):
    history.begin(skew_us=0)
    history.journal_is_read(name="a", seconds=1, then=1, works=False)
    history.spool_is_torn(name="a", file=1, percent=84, then=1, works=True)
    history.database_is_made_anew(name="a", then=1, works=False)
    history.journal_is_read(name="a", seconds=1, then=1, works=False)


@pytest.mark.parametrize("skew_us", [-4_880_000, 4_880_000])
def test_a_damaged_spool_of_a_clock_that_is_wrong(history, skew_us):
    history.begin(skew_us=skew_us)
    history.socket_ends(name="a", line=0, then=0, works=False)
    history.spool_is_damaged(name="a", file=3, percent=91, bit=4, then=0, works=False)
