"""The same account in Redis or Valkey, for processes and machines that share a key: a script on the server's clock."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from instructor.limits.account import (
    CUT,
    ENOUGH,
    LONGEST_PAUSE,
    RECOVERY,
    SAME,
    SECONDS_BETWEEN_CUTS,
    SOONEST,
    Amounts,
    Cut,
    Leave,
    Limit,
    Pause,
    Refund,
    Report,
    Turn,
)
from instructor.limits.settings import Scripting

SCRIPT: Final = """
local asked = cjson.decode(ARGV[1])
local state = cjson.decode(redis.call('GET', KEYS[1]) or '{"lines":{}}')
local now = asked.now
if not now then
  local time = redis.call('TIME')
  now = tonumber(time[1]) - 1700000000 + tonumber(time[2]) / 1000000
end
local lines, seconds = state.lines, math.max(0, now - (state.at or now))
if state.paused then state.paused = math.min(state.paused, now + asked.longest) end
local function line_of(name)
  if not lines[name] then lines[name] = {period=60, granted=0, promised=0, departed=0, synced=-1, since=now, counted=0} end
  return lines[name]
end
for _, line in pairs(lines) do
  if now - line.since >= line.period then line.since, line.counted = now, line.departed end
  if line.limit then
    if line.full_at then line.full_at = math.min(line.full_at, now + line.period) end
    if not line.full_at then line.granted = line.granted + line.limit / line.period * seconds
    elseif now >= line.full_at then line.granted, line.full_at = line.departed + line.limit, nil end
    if line.guessed then line.limit = line.limit + line.limit * asked.recovery * seconds end
    local beyond = line.granted - line.departed - line.limit
    if beyond > 0 then
      if now >= (state.paused or now) then
        line.departed = line.departed + math.min(beyond, math.max(0, line.promised - line.departed))
      end
      line.granted = line.departed + line.limit
    end
  end
end
state.at = now
local enter = {}
function enter.pause(report) state.paused = math.max(state.paused or now, now + math.min(report.seconds, asked.longest)) end
function enter.refund(report) local line = line_of(report.dimension); line.granted = line.granted + report.amount end
function enter.leave(report)
  local line = line_of(report.dimension)
  line.granted, line.departed = line.granted + report.amount, line.departed + report.amount
end
function enter.limit(report)
  local line = line_of(report.dimension)
  local is_new = not line.limit
  if report.departed and report.departed > line.departed + 1 then report.departed = nil end
  if report.departed then
    if report.departed < line.synced - asked.same then return end
    line.synced = report.departed
  end
  line.limit, line.period, line.guessed = report.limit, report.period, nil
  if not report.remaining or not report.departed then
    local full = line.departed + line.limit
    line.granted = is_new and full or math.min(line.granted, full)
    return
  end
  local left = report.departed + report.remaining
  line.granted = (report.is_ceiling and not is_new) and math.min(line.granted, left) or left
  line.full_at = report.reset and now + report.reset or nil
end
function enter.cut(report)
  local line = line_of(report.dimension)
  local sent = line.departed - line.counted
  if line.cut_at and math.abs(now - line.cut_at) < asked.between then return end
  if not line.limit and sent < asked.enough then return end
  local seen = sent / math.max(now - line.since, 1) * line.period
  line.limit = math.max(1, math.min(line.limit or seen, seen) * asked.cut)
  line.granted, line.guessed, line.cut_at = line.departed, true, now
end
for _, report in ipairs(asked.reports) do enter[report.kind](report) end
local wait, places, departed = (state.paused or now) - now, {}, {}
for name, amount in pairs(asked.amounts) do
  local line = line_of(name)
  local place = asked.places and asked.places[name]
  if not place then
    local taken = line.limit and math.min(amount, line.limit * (1 - asked.margin)) or amount
    line.promised = math.max(line.promised, line.departed) + taken
    place = line.promised
  end
  places[name] = place
  if line.limit then
    local granted = line.granted - asked.margin * line.limit
    local left = line.departed + math.min(amount, line.limit * (1 - asked.margin)) - granted
    local missing = (asked.places and left <= 0) and left or math.max(place - granted, left)
    if missing > 0 then
      local span = missing / line.limit * line.period
      if line.full_at then span = math.max(line.full_at - now, 0) + math.max(0, span - line.period) end
      wait = math.max(wait, span)
    end
  end
end
if wait < asked.soonest then
  wait = 0
  for name, amount in pairs(asked.amounts) do lines[name].departed = lines[name].departed + amount end
end
for name in pairs(asked.amounts) do departed[name] = lines[name].departed end
redis.call('SET', KEYS[1], cjson.encode(state), 'EX', asked.keep)
return cjson.encode({wait=wait, places=places, departed=departed})
"""
"""`Account.turn`, member for member. A script, because two processes must not take the same place."""


_KEPT = 86_400
"""Seconds after which a server forgets an account that nobody uses."""
_KINDS: Final[Mapping[type, str]] = {Limit: "limit", Refund: "refund", Leave: "leave", Pause: "pause", Cut: "cut"}


class SharedAccount:
    """An account on the server of a store, under a name that holds no credential.

    A test may set another clock than the server's.
    """

    def __init__(self, store: Scripting, name: str, clock: Callable[[], float] | None = None) -> None:
        self.store = store
        self._name = name
        self._clock = clock

    def turn(self, reports: Sequence[Report], amounts: Amounts, places: Amounts | None, margin: float = 0.0) -> Turn:
        """As `Account.turn`; raises what the store raises."""
        return _read(self.store.evaluate(SCRIPT, self._name, self._write(reports, amounts, places, margin)))

    async def turn_async(
        self, reports: Sequence[Report], amounts: Amounts, places: Amounts | None, margin: float = 0.0
    ) -> Turn:
        """As `turn`, without blocking the event loop."""
        text = self._write(reports, amounts, places, margin)
        return _read(await self.store.evaluate_async(SCRIPT, self._name, text))

    def _write(self, reports: Sequence[Report], amounts: Amounts, places: Amounts | None, margin: float) -> str:
        asked: dict[str, object] = {
            "reports": [{"kind": _KINDS[type(report)]} | _without_none(report._asdict()) for report in reports],
            "amounts": dict(amounts),
            "places": places,
            "margin": margin,
            "now": None if self._clock is None else self._clock(),
            "recovery": RECOVERY,
            "cut": CUT,
            "between": SECONDS_BETWEEN_CUTS,
            "same": SAME,
            "enough": ENOUGH,
            "soonest": SOONEST,
            "longest": LONGEST_PAUSE,
            "keep": _KEPT,
        }
        return json.dumps(_without_none(asked))


def _without_none(members: Mapping[str, object]) -> dict[str, object]:
    """Leave out what isn't known: the script would take a null for a value."""
    return {name: value for name, value in members.items() if value is not None}


def _read(reply: str | bytes) -> Turn:
    read: dict[str, Any] = json.loads(reply)
    return Turn(float(read["wait"]), read["places"], read["departed"])
