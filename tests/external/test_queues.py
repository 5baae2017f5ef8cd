"""Queues and brokers: what the contract of all clients does not say."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dramatiq
import fakeredis
import kombu
import kombu.transport.memory
import pytest
import rq
from dramatiq.brokers.stub import StubBroker
from helpers import assert_clean, assert_flagged, call, calls_seen, findings_of, line_of
from http_clients import everything_said, outcome, transaction
from huey import MemoryHuey
from queue_clients import QUEUE, celery_app, kafka_producer
from sqlalchemy import Connection, Engine, text
from sqlalchemy.orm import Session

import txprof
from txprof.sensors import brokers, queues
from txprof.sensors.going_on import goes_on

NOTIFY = "celery app.tasks.notify"
AWAY = "amqp://guest:planted@127.0.0.1:1//"  # a port of loopback where nobody listens


@pytest.fixture
def app() -> Iterator[Any]:
    """A celery application whose broker is in memory."""
    with celery_app("memory://") as app:
        yield app
    kombu.transport.memory.Channel.queues.pop(QUEUE, None)


@pytest.fixture
def notify(app: Any) -> Any:
    """A task of it."""
    return app.tasks["app.tasks.notify"]


def sent() -> int:
    """How many messages are in the broker in memory."""
    queue = kombu.transport.memory.Channel.queues.get(QUEUE)
    return 0 if queue is None else int(queue.qsize())


def write(connection: Connection) -> None:
    """Lock a row of `product`."""
    connection.execute(text("UPDATE product SET name = 'paid' WHERE id = 1"))


# --- the message leaves before the commit -------------------------------------------------------


def test_a_task_sent_from_a_transaction_that_writes_leaves_before_the_commit(
    engine: Engine, notify: Any
) -> None:
    with txprof.profile(on_finding="ignore") as prof, engine.begin() as connection:
        write(connection)
        notify.delay(1)  # send
    finding = assert_flagged(prof, "io-in-transaction", line=line_of("send"), count=1)
    assert finding.details["target"] == NOTIFY
    assert re.search(
        r"product stays locked for .+, and the message leaves before the commit", finding.message
    )


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_so_it_says_when_the_broker_is_away_beside_the_time(engine: Engine, nowhere: str) -> None:
    with celery_app(AWAY) as app, txprof.profile(on_finding="ignore") as prof:
        with engine.begin() as connection:
            write(connection)
            with pytest.raises(kombu.exceptions.OperationalError):
                app.send_task("app.tasks.notify")  # send
    finding = assert_flagged(prof, "io-in-transaction", line=line_of("send"), count=1)
    assert finding.seconds > 0
    assert "and the message leaves before the commit" in finding.message


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_connection_alone_is_no_message(engine: Engine, nowhere: str) -> None:
    with kombu.Connection(AWAY) as away, txprof.profile(on_finding="ignore") as prof:
        with engine.begin() as connection:
            write(connection)
            with pytest.raises(kombu.exceptions.OperationalError):
                away.ensure_connection(max_retries=1, interval_start=0.01)
    finding = assert_flagged(prof, "io-in-transaction", count=1)
    assert finding.details["target"] == "kombu 127.0.0.1:1"
    assert "product stays locked for" in finding.message
    assert "before the commit" not in finding.message


def test_under_raise_the_message_does_not_go_out(engine: Engine, notify: Any) -> None:
    with txprof.profile(on_finding="raise"), transaction(engine):
        with (
            pytest.raises(txprof.TransactionHygieneError, match=NOTIFY),
            pytest.warns(txprof.TransactionHygieneWarning),
        ):
            notify.delay(1)
    assert sent() == 0
    notify.delay(1)
    assert sent() == 1


def test_a_task_sent_while_a_connection_is_held_names_the_task(engine: Engine, notify: Any) -> None:
    autocommit = engine.execution_options(isolation_level="AUTOCOMMIT")
    with txprof.profile(on_finding="ignore") as prof, autocommit.connect():
        notify.delay(1)  # send
    finding = assert_flagged(prof, "io-while-held", line=line_of("send"), count=1)
    assert finding.details["target"] == NOTIFY


# --- inline -------------------------------------------------------------------------------------


def charge(order: int) -> str:
    """A task that calls the outside world."""
    return call(f"order {order}")


def celery_inline(run: Callable[[Any], Any], **conf: Any) -> Callable[[], Any]:
    def runs() -> Any:
        with celery_app("memory://", **conf) as app:
            return run(app.task(name="app.tasks.charge")(charge))

    return runs


def rq_inline() -> Any:
    with fakeredis.FakeRedis() as connection:
        queue = rq.Queue(QUEUE, connection=connection, is_async=False)
        return queue.enqueue(charge, 1).return_value()


def huey_inline() -> Any:
    return MemoryHuey(QUEUE, immediate=True).task()(charge)(1).get()


def dramatiq_inline() -> Any:
    return dramatiq.actor(charge, broker=StubBroker())(1)


@pytest.mark.parametrize(
    "run",
    [
        celery_inline(lambda task: task(1)),
        celery_inline(lambda task: task.apply((1,)).get()),
        celery_inline(lambda task: task.delay(1).get(), task_always_eager=True),
        rq_inline,
        huey_inline,
        dramatiq_inline,
    ],
    ids=["celery call", "celery apply", "celery eager", "rq", "huey", "dramatiq"],
)
def test_what_a_task_does_that_runs_inline_is_judged_and_the_task_is_no_call(
    engine: Engine, run: Callable[[], Any]
) -> None:
    with txprof.profile(on_finding="ignore", allow_kinds=["cache"]) as prof, transaction(engine):
        assert run() == "order 1"
    assert [seen for seen in calls_seen(prof) if seen[0] != "cache"] == [("rpc", "order 1", 1)]
    assert_flagged(prof, "io-in-transaction", count=1)


def test_a_job_put_into_a_pipeline_goes_out_with_the_pipeline(engine: Engine) -> None:
    with fakeredis.FakeRedis() as connection, connection.pipeline() as pipeline:
        queue = rq.Queue(QUEUE, connection=connection)
        queue.get_redis_server_version()  # it asks once
        with txprof.profile(on_finding="ignore") as prof, transaction(engine):
            queue.enqueue(charge, 1, pipeline=pipeline)
            pipeline.execute()  # send
    finding = assert_flagged(prof, "io-in-transaction", line=line_of("send"), count=1)
    assert finding.details["target"].startswith("redis pipeline (")


def test_jobs_that_can_be_read_once_are_left_to_the_queue() -> None:
    with fakeredis.FakeRedis() as connection:
        queue = rq.Queue(QUEUE, connection=connection)
        with txprof.profile(on_finding="ignore") as prof:
            jobs = queue.enqueue_many(queue.prepare_data(charge, (n,)) for n in range(3))
    assert len(jobs) == 3
    assert calls_seen(prof) == [("queue", f"rq {QUEUE}", 1)]


# --- declared safe ------------------------------------------------------------------------------


def test_a_sender_that_waits_for_the_commit_is_allowed_by_its_decorator(
    engine: Engine, notify: Any
) -> None:
    @txprof.allow("io-in-transaction", reason="it waits for the commit")
    def send() -> None:
        notify.delay(1)

    with txprof.profile(on_finding="raise") as prof, transaction(engine):
        send()
    assert_clean(prof)
    assert calls_seen(prof) == [("queue", NOTIFY, 1)]


def test_one_task_is_allowed_by_its_name_and_others_are_not(engine: Engine, app: Any) -> None:
    with (
        txprof.allow_if(lambda call: call.target == NOTIFY, reason="reads no row"),
        txprof.profile(on_finding="ignore") as prof,
        transaction(engine),
    ):
        app.send_task("app.tasks.notify")
        app.send_task("app.tasks.other")  # other
    finding = assert_flagged(prof, "io-in-transaction", line=line_of("other"))
    assert finding.details["target"] == "celery app.tasks.other"


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("allowed", [{"allow_kinds": ["queue"]}, {"allow_hosts": ["127.0.0.1:1"]}])
def test_queues_are_allowed_by_kind_and_by_broker(
    engine: Engine, nowhere: str, allowed: Any
) -> None:
    with celery_app(AWAY) as app:
        with txprof.profile(on_finding="ignore", **allowed) as prof, transaction(engine):
            with pytest.raises(kombu.exceptions.OperationalError):
                app.send_task("app.tasks.notify")
    assert findings_of(prof, "io-in-transaction") == []
    assert calls_seen(prof) == [("queue", NOTIFY, 1)]


@pytest.fixture(scope="module")
def on_commit() -> Callable[[Session, Callable[[], Any]], None]:
    """The recipe of docs/queues.md, without the program that uses it."""
    page = (Path(__file__).parents[2] / "docs" / "queues.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(from sqlalchemy.*?)\n\n\nwith Session", page, re.DOTALL)
    defined: dict[str, Any] = {}
    exec(compile(code, "docs/queues.md", "exec"), defined)
    found: Callable[[Session, Callable[[], Any]], None] = defined["on_commit"]
    return found


def test_a_task_that_is_sent_after_the_commit_is_clean(
    engine: Engine, notify: Any, on_commit: Any
) -> None:
    with txprof.profile(on_finding="ignore") as prof:
        with Session(engine) as session, session.begin():
            on_commit(session, lambda: notify.delay(1))
            session.execute(text("SELECT 1"))
            with session.begin_nested():
                on_commit(session, lambda: notify.delay(2))
            assert sent() == 0
        assert sent() == 2
        with Session(engine) as session:
            session.execute(text("SELECT 1"))
            session.commit()
    assert sent() == 2
    assert_clean(prof)
    assert calls_seen(prof) == [("queue", NOTIFY, 2)]


def test_a_task_whose_transaction_or_savepoint_rolls_back_is_not_sent(
    engine: Engine, notify: Any, on_commit: Any
) -> None:
    with Session(engine) as session:
        on_commit(session, lambda: notify.delay(1))
        session.execute(text("SELECT 1"))
        session.rollback()
        with session.begin_nested() as savepoint:
            on_commit(session, lambda: notify.delay(2))
            savepoint.rollback()
        session.commit()
    assert sent() == 0


# --- where a call goes on -----------------------------------------------------------------------


def test_a_record_that_is_waited_for_in_a_transaction_is_judged_there(
    engine: Engine, kafka: str
) -> None:
    with kafka_producer(kafka) as producer, txprof.profile(on_finding="ignore") as prof:
        future = producer.send(QUEUE, b"order 1")
        with transaction(engine):
            assert future.get(timeout=60).topic == QUEUE  # wait
    finding = assert_flagged(prof, "io-in-transaction", line=line_of("wait"), count=1)
    assert finding.details["target"] == f"kafka {QUEUE}"


# --- what is said -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "shown"),
    [
        ("orders.created", "orders.created"),
        ("amq.gen-JzTY20BRgKO-HjmUJj0wLg", "amq.gen-*"),
        ("reply.6f9619ff-8b86-4d01-b42d-00cf4fc964ff", "reply.*"),
    ],
)
def test_of_a_name_made_anew_each_time_only_the_rest_is_shown(key: str, shown: str) -> None:
    with kombu.Connection("memory://") as connection, txprof.profile() as prof:
        connection.Producer().publish("body", routing_key=key)
    assert calls_seen(prof) == [("queue", f"kombu {shown}", 1)]
    kombu.transport.memory.Channel.queues.pop(key, None)


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_no_argument_body_header_or_password_is_recorded(
    engine: Engine, notify: Any, nowhere: str, tmp_path: Path
) -> None:
    with txprof.profile(on_finding="ignore") as prof, transaction(engine):
        notify.apply_async(("planted",), headers={"planted": "planted"})
        with celery_app(AWAY) as app:
            outcome(lambda: app.send_task("app.tasks.notify", ("planted",)))
        with kombu.Connection(AWAY) as connection:
            outcome(lambda: connection.ensure_connection(max_retries=1, interval_start=0.01))
        with kombu.Connection("redis://:planted@127.0.0.1:1/0") as connection:
            outcome(lambda: connection.ensure_connection(max_retries=1, interval_start=0.01))
        with fakeredis.FakeRedis() as connection:
            rq.Queue(QUEUE, connection=connection).enqueue(charge, "planted", description="planted")
        actor = dramatiq.actor(charge, broker=StubBroker())
        actor.send("planted")
    assert sum(count for kind, _, count in calls_seen(prof) if kind == "queue") == 6
    assert "planted" not in everything_said(prof, tmp_path)


# --- a broken sensor gives way ------------------------------------------------------------------


def broken(*_: Any, **__: Any) -> Any:
    raise RuntimeError("of txprof's own")


@pytest.mark.breaks_a_sensor
def test_a_message_goes_out_whose_description_fails(
    engine: Engine, notify: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for part, name in ((queues, "_task"), (brokers, "_message"), (brokers, "_kombu_host")):
        monkeypatch.setattr(part, name, broken)
    with txprof.profile(on_finding="raise") as prof, transaction(engine):
        notify.delay(1)
    assert sent() == 1
    assert_clean(prof)


@pytest.mark.breaks_a_sensor
def test_a_method_runs_that_is_called_on_what_has_no_such_part(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, logger="txprof")
    watched = goes_on(of=broken)
    for _ in range(2):
        assert watched(lambda: "waited", object(), (), {}) == "waited"
    assert len([each for each in caplog.records if "the part by broken" in each.message]) == 1
