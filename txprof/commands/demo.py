"""`txprof demo`: the story as a program."""

from __future__ import annotations

import argparse
from typing import Any

from txprof.commands.values import CommandError, not_negative, positive


def add(commands: Any) -> None:
    parser = commands.add_parser(
        "demo",
        help="watch a batch starve its connection pool, and the same batch fixed",
        description=(
            "Run a batch on 8 threads and a pool of 5 connections twice: holding a connection "
            "while a language model and S3 work (examples/ai_research/naive.py), and not "
            "(fixed.py). Everything runs on this machine; nothing is left behind. "
            'Needs: pip install "txprof[demo]".'
        ),
    )
    parser.add_argument(
        "--async",
        dest="asyncio",
        action="store_true",
        help="run it in 100 asyncio tasks on a pool of 10 connections (async_naive.py and "
        "async_fixed.py)",
    )
    parser.add_argument(
        "--database-url",
        metavar="URL",
        help="SQLAlchemy URL of a database to use (default: SQLite in a temporary folder); its "
        "tables txprof_demo_... are made for the demo and dropped at the end. With --async its "
        "driver is one for asyncio: asyncpg, psycopg, aiosqlite",
    )
    parser.add_argument(
        "--products",
        type=positive,
        metavar="N",
        help="how many products to research (default: 40, with --async 100)",
    )
    parser.add_argument(
        "--llm-ms",
        type=not_negative,
        default=150,
        metavar="MS",
        help="how long the language model takes for one of its ten answers a product, "
        "in milliseconds (default: %(default)s)",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    from txprof.demo import IN_TASKS, ON_THREADS, DemoError
    from txprof.demo import run as run_demo

    story = IN_TASKS if arguments.asyncio else ON_THREADS
    products = arguments.products or story.products
    try:
        run_demo(story, arguments.database_url, products, arguments.llm_ms / 1e3)
    except DemoError as error:
        raise CommandError(str(error)) from error
