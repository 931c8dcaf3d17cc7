"""``instructor batch`` and its commands: a table of functions about the jobs that a cache has the records of."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated, Any, Final

import typer
from typer import Argument, Option
from typer.core import TyperCommand, TyperGroup

from instructor.batches.job import cancel_batch, look_at
from instructor.batches.records import JobRecord, Shelf, check_handle
from instructor.cache.handle import handle_of
from instructor.cli.cache_app import make_runner
from instructor.cli.cache_places import Place
from instructor.cli.cache_report import Report, write_time
from instructor.cli.clients import read_key
from instructor.cli.models import load_response_model
from instructor.cli.terminal import make_console, print_line
from instructor.client import Instructor
from instructor.exceptions import ConfigurationError
from instructor.factory import from_provider
from instructor.providers.batches.steps import run
from instructor.providers.batches.vendor import Intent, find_vendor

PURPOSE = """Look after jobs at the providers' half-price batch APIs.

PLACE is the cache that has their records: a directory of a DiskCache, or the URL of a Redis server.
"""

Id = Annotated[str, Argument(metavar="ID", help="The job's name, or how it begins.")]
BaseUrl = Annotated[str | None, Option(metavar="URL", help="Ask this server, not the provider's own.")]
ApiKeyEnv = Annotated[str | None, Option(metavar="VARIABLE", help="The environment variable that holds the key.")]


def list_jobs(place: Place) -> Report:
    """List the jobs, and how many of their batches aren't read yet. Nobody is asked."""
    shelf = _shelf(place)
    waiting = run(shelf.intents())
    rows = [
        {
            "job": job.id,
            "model": f"{job.provider}/{job.model}",
            "response_model": job.response_model,
            "rows": job.rows,
            "created": write_time(job.created),
            "waiting": sum(intent.job == job.id for intent in waiting),
        }
        for job in run(shelf.jobs())
    ]
    return Report(rows, note="" if rows else "No job was submitted with this cache.")


def show(place: Place, job: Id, *, base_url: BaseUrl = None, api_key_env: ApiKeyEnv = None) -> Report:
    """Ask the provider how far the batches of a job are."""
    record, intents = _find(place, job)
    vendor = find_vendor(record.provider)
    with _client(place, record, base_url, api_key_env) as client:
        adapter = client._adapter  # noqa: SLF001 - the package's own
        found = [(intent, run(look_at(vendor, adapter, intent))) for intent in intents]
    rows = [
        {"batch": intent.vendor_id, "rows": intent.size, "created": write_time(intent.created), **asdict(progress)}
        for intent, progress in found
    ]
    return Report(rows, note="" if rows else f"All batches of job {record.id} are read.")


def resume(
    place: Place,
    job: Id,
    *,
    response_model: Annotated[str, Option(metavar="MODULE:CLASS", help="The response model of the job.")],
    poll: Annotated[float, Option(metavar="SECONDS", help="The pause between two looks at a batch.")] = 30.0,
    base_url: BaseUrl = None,
    api_key_env: ApiKeyEnv = None,
) -> Report:
    """Wait for a job, and store its answers. Ctrl-C asks whether to leave it at the provider or to cancel it."""
    record, _ = _find(place, job)
    with _client(place, record, base_url, api_key_env) as client:
        under_way = client.resume_batch(record.id, load_response_model(response_model), poll_seconds=poll)
        try:
            rows = list(under_way.results())
        except KeyboardInterrupt:
            if wants_to_cancel():
                under_way.cancel()
            raise
    failed = [row for row in rows if row.error is not None]
    found = {"job": record.id, "rows": len(rows), "stored": len(rows) - len(failed), "failed": len(failed)}
    return Report([found], is_single=True, note=str(failed[0].error) if failed else "", failed=bool(failed))


def cancel(place: Place, job: Id, *, base_url: BaseUrl = None, api_key_env: ApiKeyEnv = None) -> Report:
    """Ask the provider to stop. What is answered by then is paid for; resume the job to store it.

    A batch that the provider doesn't know any more is forgotten, so that its rows can be asked anew.
    """
    record, intents = _find(place, job)
    vendor = find_vendor(record.provider)
    with _client(place, record, base_url, api_key_env) as client:
        for intent in intents:
            run(cancel_batch(vendor, client._adapter, _shelf(place), intent))  # noqa: SLF001 - as above
    return Report([{"job": record.id, "batches": len(intents)}], is_single=True)


COMMANDS: Final[dict[str, Callable[..., Report]]] = {
    "list": list_jobs,
    "show": show,
    "resume": resume,
    "cancel": cancel,
}


def make_batch_app(group_class: type[TyperGroup], command_class: type[TyperCommand]) -> typer.Typer:
    """Make the command line application of ``instructor batch``."""
    app = typer.Typer(cls=group_class, help=PURPOSE, no_args_is_help=True)
    for name, command in COMMANDS.items():
        runner = make_runner(command, writes=True)  # answers, or what becomes of a batch
        app.command(name, cls=command_class, help=inspect.getdoc(command), no_args_is_help=True)(runner)
    return app


def wants_to_cancel() -> bool:
    """Ask whether to cancel a job, where somebody can answer. Otherwise it is left at the provider."""
    if not sys.stdin.isatty():
        return False
    print_line(make_console(), "The job goes on at the provider, is paid for as far as it gets, and can be resumed.")
    return typer.confirm("Cancel it?", default=False)


def _shelf(place: Place) -> Shelf:
    return Shelf(check_handle(handle_of(place.store)), asynchronous=False)


def _find(place: Place, name: str) -> tuple[JobRecord, list[Intent]]:
    """Find the one job whose name begins so, and its batches that were submitted and aren't read yet."""
    shelf = _shelf(place)
    jobs = [job for job in run(shelf.jobs()) if job.id.startswith(name)]
    if len(jobs) != 1:
        found = "no job" if not jobs else f"{len(jobs)} jobs"
        raise ConfigurationError(
            f"{place.shown} has {found} of the name {name}. `instructor batch list` shows them all."
        )
    waiting = run(shelf.intents(jobs[0].id))
    return jobs[0], [intent for intent in waiting if intent.job == jobs[0].id and intent.vendor_id]


def _client(place: Place, record: JobRecord, base_url: str | None, api_key_env: str | None) -> Instructor:
    make: Callable[..., Any] = from_provider
    wanted = {"base_url": base_url, "api_key": read_key(api_key_env), "cache_namespace": record.namespace or None}
    settings = {name: value for name, value in wanted.items() if value is not None}
    client: Instructor = make(f"{record.provider}/{record.model}", cache=place.store, **settings)
    return client
