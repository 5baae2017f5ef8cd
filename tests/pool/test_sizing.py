"""The rules of the story, with the story's numbers; and what breaks them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from txprof.pool import sizing
from txprof.pool.instances import AURORA_MYSQL, ENGINES, default_max_connections
from txprof.pool.sizing import Database, Measured, Service, plan

BATCH = Service("research", "batch", tasks=15, threads=8)


def test_a_batchs_pool_is_as_large_as_it_has_threads() -> None:
    assert sizing.pool_size(8) == 8
    assert BATCH.chosen == 8


def test_a_job_runners_pool_has_its_own_connections_too() -> None:
    assert sizing.pool_size(8, runner_connections=1) == 9


def test_the_total_is_tasks_by_processes_by_pool() -> None:
    web = Service("api", "web", tasks=4, processes=8, threads=5)
    background = Service("jobs", "background", tasks=2, processes=4, threads=5)
    assert (web.total, BATCH.total, background.total) == (160, 120, 40)
    assert plan([web, BATCH, background]).total == 320


def test_a_deploy_doubles_so_half_is_to_be_used() -> None:
    assert sizing.usable(4000) == 2000
    assert sizing.usable(100, reserved=3) == 48


def test_what_can_still_be_added_is_half_less_the_peak() -> None:
    assert sizing.room(4000, 1200) == 800


def test_the_storys_batch_fits() -> None:
    with_runner = Service("research", "batch", tasks=15, threads=8, runner_connections=1)
    found = plan([with_runner], Database(4000, peak=1200), Measured(waiting_share=0.9))
    assert (found.total, found.added, found.room) == (135, 135, 665)
    assert found.warnings == ()


def test_speedup_is_amdahls() -> None:
    assert sizing.speedup(1, 0.9) == 1
    assert sizing.speedup(8, 0.9) == pytest.approx(4.706, abs=0.001)
    assert sizing.speedup(10**9, 0.9) == pytest.approx(10)


def test_the_gain_flattens_at_eight_threads_that_wait_nine_tenths() -> None:
    assert sizing.worthwhile_threads(0.9) == 8


@pytest.mark.parametrize(
    ("share", "threads"), [(0.0, 1), (0.5, 1), (0.7, 2), (0.8, 4), (0.95, 16), (0.99, 32), (1, 50)]
)
def test_threads_worth_having_grow_with_the_waiting(share: float, threads: int) -> None:
    assert sizing.worthwhile_threads(share) == threads


@given(st.floats(0, 1))
def test_each_doubling_up_to_there_still_gains_half(share: float) -> None:
    threads = sizing.worthwhile_threads(share)
    assert 1 <= threads <= sizing.MOST_THREADS
    if 1 < threads < sizing.MOST_THREADS:
        gain = sizing.speedup(threads, share) / sizing.speedup(threads // 2, share)
        assert gain >= 1.5 - 1e-6


def test_the_smallest_pool_that_cannot_deadlock() -> None:
    assert sizing.deadlock_floor(8, 2) == 9
    assert sizing.deadlock_floor(8, 3) == 17
    assert sizing.deadlock_floor(8, 1) == 1


def test_rules_that_are_broken_are_told() -> None:
    small = Service("small", "batch", tasks=1, threads=8, runner_connections=1, pool=5)
    large = Service("large", "batch", tasks=1, threads=8, pool=20)
    many = Service("many", "batch", tasks=1, threads=51)
    found = plan([small, large, many], Database(100, peak=60), Measured(0.9, 2))
    told = "\n".join(found.warnings)
    assert "small: a pool of 5 for 8 threads and 1 connection of the job runner: 4 of them" in told
    assert "the smallest that cannot deadlock is 10" in told
    assert "large: a pool of 20 for 8 threads: 12 are never used" in told
    assert "many: 51 threads; more than 50 are not worth it" in told
    assert "all services together: 76 connections, 152 while a deploy doubles the tasks" in told
    assert "the peak of 60 is above half of what the database gives out (50)" in told
    assert "76 connections are to be added, and there is room for 0" in told


def test_threads_beyond_the_measured_flattening_are_told() -> None:
    (told,) = plan([Service("b", "batch", 1, threads=16)], None, Measured(0.9)).warnings
    assert told == "b: 16 threads; with 90% of the time spent waiting the gain flattens at 8"


def test_what_runs_already_is_in_the_peak() -> None:
    running = Service("api", "web", tasks=10, threads=10, running=True)
    found = plan([running, BATCH], Database(4000, peak=1200))
    assert (found.total, found.added, found.room) == (220, 120, 680)


def test_without_a_peak_there_is_no_room_to_tell() -> None:
    assert plan([BATCH], Database(4000)).room is None
    assert plan([BATCH]).room is None


@pytest.mark.parametrize(
    ("service", "message"),
    [
        (Service("b", "batch", tasks=0), "b: tasks must be 1 or more, not 0"),
        (Service("b", "batch", 1, processes=-1), "b: processes must be 1 or more, not -1"),
        (Service("b", "batch", 1, threads=0), "b: threads must be 1 or more, not 0"),
        (Service("b", "batch", 1, runner_connections=-1), "runner_connections must be 0 or more"),
        (Service("b", "batch", 1, pool=0), "b: pool must be 1 or more, not 0"),
        (Service("b", "cron", 1), "b: kind must be web, batch, background, not 'cron'"),  # type: ignore[arg-type]
    ],
)
def test_sizes_that_make_no_sense_are_refused(service: Service, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plan([service])


@pytest.mark.parametrize(
    ("database", "message"),
    [
        (Database(0), "max_connections must be 1 or more, not 0"),
        (Database(10, reserved=-1), "reserved_connections must be 0 or more, not -1"),
        (Database(10, peak=-1), "peak_connections must be 0 or more, not -1"),
        (Database(10, reserved=10), r"reserved_connections \(10\) must be below max_connections"),
    ],
)
def test_databases_that_make_no_sense_are_refused(database: Database, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plan([BATCH], database)


def test_measurements_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="the waiting share must be from 0 to 1, not 90"):
        plan([BATCH], None, Measured(waiting_share=90))
    with pytest.raises(ValueError, match="held at once must be 1 or more, not 0"):
        plan([BATCH], None, Measured(held_at_once=0))
    with pytest.raises(ValueError, match="at least one service"):
        plan([])


def test_five_hundred_services_add_up() -> None:
    services = [Service(f"s{n}", "web", 3, processes=4, threads=n % 60 + 1) for n in range(500)]
    found = plan(services, Database(4000, peak=1200), Measured(0.9, 2))
    assert found.total == sum(3 * 4 * service.threads for service in services)


STORY = {
    "t2.small": 45,
    "t2.medium": 90,
    "t3.small": 45,
    "t3.medium": 90,
    "t3.large": 135,
    "t4g.medium": 90,
    "t4g.large": 135,
    "r3.large": 1000,
    "r3.xlarge": 2000,
    "r3.2xlarge": 3000,
    "r3.4xlarge": 4000,
    "r5.4xlarge": 4000,
}


@pytest.mark.parametrize(("name", "limit"), STORY.items())
def test_the_storys_instance_classes(name: str, limit: int) -> None:
    found, source = default_max_connections(f"db.{name}", "aurora-mysql")
    assert found == limit
    assert "AuroraMySQL" in source


def test_the_documented_formulas_of_other_engines() -> None:
    assert default_max_connections("db.t4g.medium", "postgresql")[0] == 450
    assert default_max_connections("db.r6g.16xlarge", "postgresql")[0] == 5000
    assert default_max_connections("db.m5.large", "mysql")[0] == 682
    assert default_max_connections("m5.large", "mariadb")[0] == 682


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        ("t3.medium", 420),
        ("r4.large", 1600),
        ("r4.xlarge", 3200),
        ("r4.16xlarge", 5000),
        ("r5.large", 1600),
        ("r5.xlarge", 3300),
        ("r5.24xlarge", 5000),
    ],
)
def test_the_documented_table_of_aurora_postgresql(name: str, limit: int) -> None:
    found, source = default_max_connections(f"db.{name}", "aurora-postgresql")
    assert found == limit
    assert "Managing Amazon Aurora PostgreSQL" in source


def test_what_aurora_postgresqls_table_leaves_out_is_reckoned_as_its_example() -> None:
    # LEAST((15.25*1000000000)/9531392,5000) = 1600, says the page: of 16 GB then 1,678.
    assert round(min(15.25e9 / 9_531_392, 5000)) == 1600
    assert default_max_connections("db.r6g.large", "aurora-postgresql")[0] == 1678
    assert default_max_connections("db.r6g.2xlarge", "aurora-postgresql")[0] == 5000
    assert default_max_connections("db.r6g.large", "postgresql")[0] == 1802


def test_aurora_mysqls_table_is_its_formula_in_the_documented_example() -> None:
    # db.r3.xlarge with 30.5 GB: log2(30.5 * 1073741824 / 8187281408) * 1000 = 2000, says AWS.
    formula = math.log2(30.5 * 2**30 / 8_187_281_408) * 1000
    assert default_max_connections("db.r3.xlarge", "aurora-mysql")[0] == round(formula, -3) == 2000


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", ["db.x9.huge", "", "db.r5", "r5.colossal"])
def test_an_unknown_class_is_an_error_and_no_guess(engine: str, name: str) -> None:
    with pytest.raises(ValueError, match="unknown instance class"):
        default_max_connections(name, engine)


def test_an_unknown_engine_is_an_error() -> None:
    with pytest.raises(ValueError, match="unknown database engine 'oracle'; known are aurora-my"):
        default_max_connections("db.r5.large", "oracle")


def test_the_table_is_sorted_by_what_it_allows_within_a_family() -> None:
    for family in ("r3", "r4", "r5", "r6g"):
        limits = [limit for name, limit in AURORA_MYSQL.items() if name.startswith(f"{family}.")]
        assert limits == sorted(limits)
