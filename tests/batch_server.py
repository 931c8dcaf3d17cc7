"""A server that speaks the batch APIs of OpenAI, Anthropic and Gemini, as each documents its wire format.

Each row asks for "row N", and its answer is ``{"number": N}``. What goes wrong is scripted by row.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

from replies import JsonHandler, LoopbackServer, Received, obedient_answer

CREATED = 1_760_000_000
EXPIRED, OVERLOADED, WRONG, SILENT = "expired", "overloaded", "wrong", "silent"
"""What may happen to a row beside an answer: it expires, fails for a while, fails for good, or is left out."""


def timestamp(batch: dict[str, Any]) -> str:
    """When a batch was created, as Anthropic and Google write it."""
    return datetime.fromtimestamp(batch["created"], UTC).isoformat().replace("+00:00", "Z")


class BatchServer(LoopbackServer):
    """The server.

    Attributes:
        polls: How many looks at a batch find it in progress.
        script: What happens to a row at each submission, the last for ever; a dict is its answer.
        shuffled: Whether results come in another order, and each twice.
        failure: Why each batch fails as a whole; empty where none does.
        value: What every row is answered with, in place of its number.
        room: How many batches may be under way; None for any number.
        drops: How many submissions are accepted without an answer: the connection is closed.
        batches: The batches, the oldest first.
        live: The bodies of live requests.
        clock: When batches are created, in Unix seconds.
        forgotten: Batches whose results are no longer kept.
    """

    def __init__(self) -> None:
        self.polls = 1
        self.script: dict[int, list[Any]] = {}
        self.shuffled = False
        self.drops = 0
        self.room: int | None = None
        self.failure = ""
        self.value: dict[str, Any] | None = None
        self.batches: list[dict[str, Any]] = []
        self.files: dict[str, bytes] = {}
        self.live: list[Any] = []
        self.clock: float = CREATED
        self.forgotten: set[str] = set()
        self.page, self.number = 100, 0
        super().__init__()

    handler: Any = None

    @property
    def keys(self) -> list[str]:
        """The keys of all rows that were submitted, in the order of the submissions."""
        return [key for batch in self.batches if not batch.get("is_refused") for key in batch["rows"]]

    @property
    def is_full(self) -> bool:
        """Whether there is no room for another batch."""
        under_way = [batch for batch in self.batches if not self.ended(batch) and not batch.get("is_refused")]
        return self.room is not None and len(under_way) >= self.room

    def submit(self, vendor: str, rows: dict[str, tuple[str, Any]], **members: Any) -> dict[str, Any]:
        """Take a batch: of each key, the path and the body of its request."""
        self.number += 1
        number = self.number
        outcomes = {key: self._decide(path, body) for key, (path, body) in rows.items()}
        batch = {
            "id": f"batch_{number}" if vendor != "google" else f"batches/b{number}",
            "vendor": vendor,
            "rows": list(rows),
            "outcomes": outcomes,
            "looks": 0,
            "cancelled": False,
            "created": self.clock,
            **members,
        }
        self.batches.append(batch)
        return batch

    def _decide(self, path: str, body: Any) -> Any:
        number = int((re.findall(r"row (\d+)", json.dumps(body)) or ["0"])[-1])
        scripted = self.script.get(number)
        outcome: Any = self.value or {"number": number}
        if scripted:
            outcome = scripted.pop(0) if len(scripted) > 1 else scripted[0]
        return obedient_answer(Received("POST", path, {}, body), outcome) if isinstance(outcome, dict) else outcome

    def ended(self, batch: dict[str, Any]) -> bool:
        """Whether its results can be read."""
        return batch["looks"] > self.polls or batch["cancelled"]

    def outcomes(self, batch: dict[str, Any]) -> Iterator[tuple[str, Any]]:
        """The results of a batch."""
        found = [(key, outcome) for key, outcome in batch["outcomes"].items() if outcome != SILENT]
        return iter([*reversed(found), *found] if self.shuffled else found)


class _NotFoundError(Exception):
    """There is no such batch, or no such file."""


class _FullError(Exception):
    """There is no room for another batch."""


class _Handler(JsonHandler):
    def do_GET(self) -> None:  # noqa: N802 - the library's name
        self._route("GET", None)

    def do_POST(self) -> None:  # noqa: N802 - as above
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._route("POST", raw)

    def _route(self, method: str, raw: bytes | None) -> None:
        url = urlsplit(self.path)
        for verb, pattern, act in _ROUTES:
            match = re.fullmatch(pattern, url.path)
            if match and verb == method:
                query = {name: values[-1] for name, values in parse_qs(url.query).items()}
                try:
                    return act(self, raw, query, *match.groups())
                except _FullError:
                    kind = {"type": "rate_limit_error", "status": "RESOURCE_EXHAUSTED", "message": "Too many."}
                    return self._json({"type": "error", "error": {"code": 429, **kind}}, 429)
                except _NotFoundError:
                    return self._json({"error": {"message": f"there is no {url.path}", "code": 404}}, 404)
        self._json({"error": {"message": f"no route for {method} {url.path}"}}, 404)
        return None

    @property
    def owner(self) -> BatchServer:
        return self.server.owner

    def _json(self, body: Any, status: int = 200) -> None:
        payload = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.answer(status, payload, {})

    def _created(self, body: Any) -> None:
        if self.owner.drops > 0:
            self.owner.drops -= 1
            self.close_connection = True
            return
        self._json(body)

    def _find(self, name: str) -> dict[str, Any]:
        found = next((batch for batch in self.owner.batches if batch["id"] == name), None)
        if found is None:
            raise _NotFoundError
        return found

    def _look(self, name: str) -> dict[str, Any]:
        batch = self._find(name)
        batch["looks"] += 1
        return batch

    def _page(self, vendor: str, query: dict[str, str], after: str) -> tuple[list[dict[str, Any]], bool]:
        batches = [batch for batch in reversed(self.owner.batches) if batch["vendor"] == vendor]
        names = [batch["id"] for batch in batches]
        start = names.index(query[after]) + 1 if query.get(after) else 0
        return batches[start : start + self.owner.page], start + self.owner.page < len(batches)

    def live(self, raw: bytes, query: dict[str, str]) -> None:
        body = json.loads(raw)
        self.owner.live.append(body)
        number = int(re.findall(r"row (\d+)", json.dumps(body))[-1])
        path = urlsplit(self.path).path
        self._json(obedient_answer(Received("POST", path, {}, body), {"number": number}))

    # OpenAI

    def openai_upload(self, raw: bytes, query: dict[str, str]) -> None:
        name = f"file-{len(self.owner.files)}"
        boundary = self.headers["Content-Type"].partition("boundary=")[2].encode()
        parts = [part for part in raw.split(b"--" + boundary) if b"filename=" in part]
        self.owner.files[name] = parts[0].partition(b"\r\n\r\n")[2].removesuffix(b"\r\n")
        self._json(
            {"id": name, "object": "file", "bytes": 1, "created_at": CREATED, "filename": "x", "purpose": "batch"}
        )

    def openai_create(self, raw: bytes, query: dict[str, str]) -> None:
        body = json.loads(raw)
        lines = [json.loads(line) for line in self.owner.files[body["input_file_id"]].splitlines()]
        assert {line["url"] for line in lines} == {body["endpoint"]}
        assert body["completion_window"] == "24h"
        rows = {line["custom_id"]: (line["url"], line["body"]) for line in lines}
        assert len(rows) == len(lines), "OpenAI refuses a file in which two rows have one custom_id"
        members = {"metadata": body.get("metadata"), "endpoint": body["endpoint"], "is_refused": self.owner.is_full}
        batch = self.owner.submit("openai", rows, **members)
        self._created(self._openai(batch))

    def openai_get(self, raw: bytes, query: dict[str, str], name: str) -> None:
        self._json(self._openai(self._look(name)))

    def any_list(self, raw: bytes, query: dict[str, str]) -> None:
        (self.google_list if "pageSize" in query else self.openai_list)(raw, query)

    def openai_list(self, raw: bytes, query: dict[str, str]) -> None:
        data, more = self._page("openai", query, "after")
        self._json({"object": "list", "data": [self._openai(batch) for batch in data], "has_more": more})

    def openai_cancel(self, raw: bytes, query: dict[str, str], name: str) -> None:
        self._find(name)["cancelled"] = True
        self._json(self._openai(self._find(name)))

    def _openai(self, batch: dict[str, Any]) -> dict[str, Any]:
        ended = self.owner.ended(batch)
        good = [outcome for outcome in batch["outcomes"].values() if isinstance(outcome, dict)]
        done = len(good) if ended else 0
        status = "completed" if ended else "in_progress"
        failure = "Enqueued token limit reached." if batch["is_refused"] else self.owner.failure
        code = "token_limit_exceeded" if batch["is_refused"] else "x"
        if failure:
            status = "failed"
        elif batch["cancelled"]:
            status = "cancelled"
        elif ended and EXPIRED in batch["outcomes"].values():
            status = "expired"
        return {
            "id": batch["id"],
            "object": "batch",
            "endpoint": batch["endpoint"],
            "input_file_id": "file-0",
            "completion_window": "24h",
            "status": status,
            "created_at": int(batch["created"]),
            "metadata": batch["metadata"],
            "output_file_id": f"out-{batch['id']}" if ended and good and status != "failed" else None,
            "error_file_id": f"err-{batch['id']}" if ended and len(good) < len(batch["rows"]) else None,
            "request_counts": {
                "total": len(batch["rows"]),
                "completed": done,
                "failed": ended * (len(batch["rows"]) - done),
            },
            "errors": {"object": "list", "data": [{"code": code, "message": failure}]} if status == "failed" else None,
        }

    def openai_content(self, raw: bytes, query: dict[str, str], kind: str, name: str) -> None:
        lines: list[Any] = []
        if name in self.owner.forgotten:
            raise _NotFoundError
        for key, outcome in self.owner.outcomes(self._find(name)):
            line: dict[str, Any] = {"id": f"r-{key}", "custom_id": key, "response": None, "error": None}
            if isinstance(outcome, dict):
                line["response"] = {"status_code": 200, "request_id": "q", "body": outcome}
            elif outcome == EXPIRED:
                line["error"] = {"code": "batch_expired", "message": "It could not be run in time."}
            else:
                status = {OVERLOADED: 503, WRONG: 400}[outcome]
                body = {"error": {"message": f"{outcome}!", "type": "invalid_request_error", "code": outcome}}
                line["response"] = {"status_code": status, "request_id": "q", "body": body}
            if isinstance(outcome, dict) is (kind == "out"):
                lines.append(line)
        self._json("".join(json.dumps(line) + "\n" for line in lines).encode())

    # Anthropic

    def anthropic_create(self, raw: bytes, query: dict[str, str]) -> None:
        requests = json.loads(raw)["requests"]
        if self.owner.is_full:
            raise _FullError
        rows = {row["custom_id"]: ("/v1/messages", row["params"]) for row in requests}
        assert len(rows) == len(requests)
        headers = {name.lower(): value for name, value in self.headers.items()}
        self._created(self._anthropic(self.owner.submit("anthropic", rows, headers=headers)))

    def anthropic_list(self, raw: bytes, query: dict[str, str]) -> None:
        data, more = self._page("anthropic", query, "after_id")
        last = data[-1]["id"] if data else None
        body = {"data": [self._anthropic(batch) for batch in data], "has_more": more, "first_id": None, "last_id": last}
        self._json(body)

    def anthropic_get(self, raw: bytes, query: dict[str, str], name: str) -> None:
        self._json(self._anthropic(self._look(name)))

    def anthropic_cancel(self, raw: bytes, query: dict[str, str], name: str) -> None:
        self._find(name)["cancelled"] = True
        self._json(self._anthropic(self._find(name)))

    def _anthropic(self, batch: dict[str, Any]) -> dict[str, Any]:
        ended, outcomes = self.owner.ended(batch), list(batch["outcomes"].values())
        good = sum(isinstance(outcome, dict) for outcome in outcomes)
        late = outcomes.count(EXPIRED)
        counts = {"succeeded": good, "expired": late, "errored": len(outcomes) - good - late}
        return {
            "id": batch["id"],
            "type": "message_batch",
            "processing_status": "ended" if ended else "in_progress",
            "request_counts": {
                **(counts if ended else dict.fromkeys(counts, 0)),
                "processing": 0 if ended else len(outcomes),
                "canceled": 0,
            },
            "created_at": timestamp(batch),
            "cancel_initiated_at": timestamp(batch) if batch["cancelled"] else None,
            "expires_at": timestamp(batch),
            "results_url": f"{self.owner.address}/v1/messages/batches/{batch['id']}/results"
            if ended and batch["id"] not in self.owner.forgotten
            else None,
        }

    def anthropic_results(self, raw: bytes, query: dict[str, str], name: str) -> None:
        lines: list[Any] = []
        for key, outcome in self.owner.outcomes(self._find(name)):
            result: dict[str, Any] = {"type": "expired"}
            if isinstance(outcome, dict):
                result = {"type": "succeeded", "message": outcome}
            elif outcome != EXPIRED:
                kind = {OVERLOADED: "overloaded_error", WRONG: "invalid_request_error"}[outcome]
                error = {"type": "error", "error": {"type": kind, "message": f"{outcome}!"}}
                result = {"type": "errored", "error": error}
            lines.append({"custom_id": key, "result": result})
        self._json("".join(json.dumps(line) + "\n" for line in lines).encode())

    # Gemini

    def google_create(self, raw: bytes, query: dict[str, str], model: str) -> None:
        if self.owner.is_full:
            raise _FullError
        batch = json.loads(raw)["batch"]
        requests = batch["inputConfig"]["requests"]["requests"]
        path = f"/v1beta/models/{model}:generateContent"
        rows = {row["metadata"]["key"]: (path, row["request"]) for row in requests}
        self._created(self._google(self.owner.submit("google", rows, name=batch["displayName"], model=model)))

    def google_list(self, raw: bytes, query: dict[str, str]) -> None:
        data, more = self._page("google", query, "pageToken")
        token = {"nextPageToken": data[-1]["id"]} if more else {}
        self._json({"operations": [self._google(batch) for batch in data], **token})

    def google_get(self, raw: bytes, query: dict[str, str], name: str) -> None:
        self._json(self._google(self._look(name)))

    def google_cancel(self, raw: bytes, query: dict[str, str], name: str) -> None:
        self._find(name)["cancelled"] = True
        self._json({})

    def _google(self, batch: dict[str, Any]) -> dict[str, Any]:
        ended = self.owner.ended(batch)
        state = "BATCH_STATE_SUCCEEDED" if ended else "BATCH_STATE_RUNNING"
        metadata: dict[str, Any] = {
            "@type": "type.googleapis.com/google.ai.generativelanguage.v1main.GenerateContentBatch",
            "name": batch["id"],
            "displayName": batch["name"],
            "model": f"models/{batch['model']}",
            "state": "BATCH_STATE_CANCELLED" if batch["cancelled"] else state,
            "createTime": timestamp(batch),
        }
        if ended:
            rows = [self._google_row(key, outcome) for key, outcome in self.owner.outcomes(batch)]
            metadata["output"] = {"inlinedResponses": {"inlinedResponses": rows}}
        return {"name": batch["id"], "metadata": metadata, "done": ended}

    def _google_row(self, key: str, outcome: Any) -> dict[str, Any]:
        row: dict[str, Any] = {"metadata": {"key": key}}
        if isinstance(outcome, dict):
            return row | {"response": outcome}
        code = {EXPIRED: 4, OVERLOADED: 14, WRONG: 3}[outcome]
        return row | {"error": {"code": code, "message": f"{outcome}!"}}


_ROUTES: list[tuple[str, str, Any]] = [
    ("POST", r"/v1/files", _Handler.openai_upload),
    ("POST", r"/v1/batches", _Handler.openai_create),
    ("GET", r"/v1/batches", _Handler.any_list),
    ("GET", r"/v1/batches/(batch_\d+)", _Handler.openai_get),
    ("POST", r"/v1/batches/(batch_\d+)/cancel", _Handler.openai_cancel),
    ("GET", r"/v1/files/(out|err)-(\w+)/content", _Handler.openai_content),
    ("POST", r"/v1/messages/batches", _Handler.anthropic_create),
    ("GET", r"/v1/messages/batches", _Handler.anthropic_list),
    ("GET", r"/v1/messages/batches/(\w+)", _Handler.anthropic_get),
    ("GET", r"/v1/messages/batches/(\w+)/results", _Handler.anthropic_results),
    ("POST", r"/v1/messages/batches/(\w+)/cancel", _Handler.anthropic_cancel),
    ("POST", r"/v1(?:beta)?/models/([\w.-]+):batchGenerateContent", _Handler.google_create),
    ("GET", r"/v1(?:beta)?/(batches/b\d+)", _Handler.google_get),
    ("POST", r"/v1(?:beta)?/(batches/b\d+):cancel", _Handler.google_cancel),
    ("POST", r"/v1/(?:chat/completions|responses|messages)", _Handler.live),
    ("POST", r"/v1(?:beta)?/models/[\w.-]+:generateContent", _Handler.live),
]
BatchServer.handler = _Handler
