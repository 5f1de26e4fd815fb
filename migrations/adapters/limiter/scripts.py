"""The rules of a provider's limit, as scripts that run inside Redis on Redis' own clock.

Pace: one token bucket each for requests and tokens. A bucket holds a burst's
seconds of its rate. A call is let through when its amount is there, or half a
full bucket where it needs more, and may leave a debt; the other half takes up
the lateness of those who wait, so that nothing overflows. Over any window of w
seconds no more than ``rate x w + bucket + one call`` passes.

Turn: start-time fair queueing (Goyal, Vin, Cheng 1996). Each call that waits
has a tag, the later of the queue's time and the end of its migration's last
call, in seconds of the whole limit; the smallest tag is next. A migration
with more threads has more calls waiting but no larger share, and one that
stopped asking has nothing waiting and takes nothing. Queries go first.

A migration with a pace of its own has buckets of its own, by the same rules, and
a queue of its own, in the order of asking. Only calls that its pace lets go on
stand in the queue of all, so that what it is not to use is nobody's to wait for.
Its pace is told again and again by those who know it, and lapses otherwise.

One hash holds a limit's state, one sorted set the calls that wait (by tag), one
their expiry, one hash the end of each migration's last call, one sorted set the
processes that ask, one hash the paces of migrations and what they have left, one
sorted set the calls that their migration's pace holds (by expiry). All are gone
a day after the last call.

Numbers are written with six decimals: Lua's own rendering keeps fourteen digits,
which is a tenth of a millisecond of a Unix time.
"""

from __future__ import annotations

#: A waiting call that does not come back this long after its time has been given up.
GRACE_SECONDS = 1.0
#: The share for queries is kept free for this long after the last of them.
QUERIES_REMEMBERED_SECONDS = 60.0
#: Models of one account may announce different limits; the lower one counts for so long.
LOWER_COUNTS_SECONDS = 60.0

_CONSTANTS = f"""
local GRACE, REMEMBERED = {GRACE_SECONDS}, {QUERIES_REMEMBERED_SECONDS}
local LOWER_COUNTS = {LOWER_COUNTS_SECONDS}
-- Sleepers look again at least when so much, or half of what is left, has passed.
local LOOK_AGAIN, SHORTEST = 0.25, 0.002
-- What was in flight is refused as well: it is slowed down at most once in this time.
local SLOWED_ONCE = 1
-- One refusal alone is answered by the pause it asks for; a second one within this
-- time shows that the pace is wrong.
local REFUSALS_REMEMBERED = 300
-- A limit that is known and still refuses is used more slowly, and by so much more each second.
local SLOWED_BY, RECOVERED, SLOWEST = 0.95, 0.002, 0.1
-- The same where no limit is known: multiplicative decrease, and an increase that is
-- additive at first and gathers speed while nobody refuses.
local BACKED_OFF_BY, ADDED, GATHERED, SLOWEST_PACE = 0.8, 0.01, 0.0001, 1 / 60
-- Below half of the pace at which most calls were answered last, it doubles in this time:
-- what was refused while all was, has told nothing of the pace.
local DOUBLES = 8
-- Calls are counted over windows of this length to know how many were let in.
local WINDOW = 5
local KEEP_SECONDS, PRESENT_SECONDS = 86400, 30
-- Whoever is held by a pace that was set hears this soon that it is another one.
local PACE_LOOK_AGAIN = 2
"""

#: Hosts need not agree on the time, because ``now`` is Redis' own.
CLOCK = """
local t = redis.call('TIME')
local now = tonumber(t[1]) + tonumber(t[2]) / 1000000
"""

#: KEYS: state, queue, expiries, ends, processes, paces, paced. ARGV 1-6: requests and tokens a
#: minute by hand (0 for none), burst, query share, the same two as this process
#: has learned them (used where Redis has none).
_BEGIN = (
    _CONSTANTS
    + CLOCK
    + """
local KINDS, PURPOSES = {'requests', 'tokens'}, {'query', 'migration'}
local by_hand = {requests = tonumber(ARGV[1]), tokens = tonumber(ARGV[2])}
local burst, share = tonumber(ARGV[3]), tonumber(ARGV[4])
local heard = {requests = tonumber(ARGV[5]), tokens = tonumber(ARGV[6])}
local s = {}
local flat = redis.call('HGETALL', KEYS[1])
for i = 1, #flat, 2 do s[flat[i]] = tonumber(flat[i + 1]) end
local changed = {}
local function set(field, value) s[field] = value; changed[field] = true end

local function limit_of(kind)
  if by_hand[kind] > 0 then return by_hand[kind] end
  if not s['limit:' .. kind] and heard[kind] > 0 then set('limit:' .. kind, heard[kind]) end
  return s['limit:' .. kind]
end
local function slowness()
  return math.min(1, (s.slow or 1) + RECOVERED * (now - (s.slowed_at or now)))
end
local function adapted()
  if not s.pace then return nil end
  local quiet, pace, near = now - (s.slowed_at or now), s.pace, (s.well or 0) / 2
  if pace < near then
    local doubling = DOUBLES * math.log(near / pace) / math.log(2)
    if quiet < doubling then return pace * 2 ^ (quiet / DOUBLES) end
    pace, quiet = near, quiet - doubling
  end
  return pace * (1 + quiet * (ADDED + quiet * GATHERED))
end
local function rates()
  local found, any = {}, false
  for _, kind in ipairs(KINDS) do
    local limit = limit_of(kind)
    if limit then found[kind] = limit / 60 * slowness(); any = true end
  end
  if not any then found.requests = adapted() end
  return found
end
local function part_of(purpose)
  if purpose == 'migration' and s.query_at and now - s.query_at < REMEMBERED then
    return 1 - share
  end
  return 1
end
local function level(kind, purpose) return kind .. ':' .. purpose end
local function refill()
  local passed = math.max(0, now - (s.at or now))
  set('at', now)
  local found = rates()
  for _, kind in ipairs(KINDS) do
    for _, purpose in ipairs(PURPOSES) do
      local name, rate = level(kind, purpose), found[kind]
      if rate then
        rate = rate * part_of(purpose)
        set(name, math.min(rate * burst, (s[name] or rate * burst) + passed * rate))
      end
    end
  end
  return found
end
local function write()
  local args = {}
  for field, _ in pairs(changed) do
    args[#args + 1] = field
    args[#args + 1] = string.format('%.6f', s[field])
  end
  if #args > 0 then redis.call('HSET', KEYS[1], unpack(args)) end
  redis.call('EXPIRE', KEYS[1], KEEP_SECONDS)
end
local function buckets_of(purpose)
  if purpose == 'query' then return {'query'} end
  return PURPOSES
end
"""
)

#: ARGV 7: ticket id, 8: flow, 9: tokens, 10: purpose, 11: this process.
#: Answers the wait in microseconds, how many processes ask, the learned limits
#: (0 for none), and the pace of this flow where it has one, per minute and times a thousand.
ACQUIRE = (
    _BEGIN
    + """
local id, flow, tokens, purpose = ARGV[7], ARGV[8], tonumber(ARGV[9]), ARGV[10]
local needs = {requests = 1, tokens = tokens}
if purpose == 'query' then set('query_at', now) end
local found = refill()
for _, lost in ipairs(redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', now)) do
  redis.call('ZREM', KEYS[2], lost)
  redis.call('ZREM', KEYS[3], lost)
end

local member = purpose .. '|' .. ARGV[9] .. '|' .. id

-- The flow's own pace: its buckets, and its queue in the order of asking.
local function own_rates()
  local told = purpose == 'migration' and redis.call('HGET', KEYS[6], flow)
  if not told then return nil end
  local by_share, lapses = string.match(told, '^(%S+) %S+ %S+ (%S+)$')
  local by_kind = {}
  by_kind.requests, by_kind.tokens = string.match(told, '^%S+ (%S+) (%S+) ')
  if tonumber(lapses) < now then
    redis.call('HDEL', KEYS[6], flow, flow .. '|requests', flow .. '|tokens', flow .. '|at')
    return nil
  end
  local own = {}
  for _, kind in ipairs(KINDS) do
    local set_one, part = tonumber(by_kind[kind]) / 60, tonumber(by_share)
    if found[kind] and part < 1 then own[kind] = found[kind] * part end
    if set_one > 0 then own[kind] = math.min(own[kind] or set_one, set_one) end
  end
  return own
end
local own, own_level, own_wait = own_rates(), {}, 0
local own_member, own_arrival
if own then
  redis.call('ZREMRANGEBYSCORE', KEYS[7], '-inf', now)
  local passed = now - tonumber(redis.call('HGET', KEYS[6], flow .. '|at') or now)
  for kind, rate in pairs(own) do
    local left = tonumber(redis.call('HGET', KEYS[6], flow .. '|' .. kind) or rate * burst)
    own_level[kind] = math.min(rate * burst, left + math.max(0, passed) * rate)
  end
  local ahead, held = {requests = 0, tokens = 0}, {}
  for _, one in ipairs(redis.call('ZRANGE', KEYS[7], 0, -1)) do
    local its_flow, its_tokens, its_arrival, its_id =
      string.match(one, '^([^|]*)|(%d+)|([%d.]+)|(.*)$')
    if its_flow == flow and its_id == id then
      own_member, own_arrival = one, tonumber(its_arrival)
    elseif its_flow == flow then
      held[#held + 1] = {tonumber(its_arrival), tonumber(its_tokens), its_id}
    end
  end
  if not own_member then
    own_arrival = now
    own_member = string.format('%s|%s|%.6f|%s', flow, ARGV[9], now, id)
  end
  for _, one in ipairs(held) do
    if one[1] < own_arrival or (one[1] == own_arrival and one[3] < id) then
      ahead.requests = ahead.requests + 1
      ahead.tokens = ahead.tokens + one[2]
    end
  end
  for kind, rate in pairs(own) do
    local enough = math.min(needs[kind], rate * burst / 2)
    own_wait = math.max(own_wait, (ahead[kind] + enough - own_level[kind]) / rate)
  end
end
local function keep_own(held_for)
  if not own then return end
  local kept = {flow .. '|at', string.format('%.6f', now)}
  for kind, left in pairs(own_level) do
    kept[#kept + 1] = flow .. '|' .. kind
    kept[#kept + 1] = string.format('%.6f', left)
  end
  redis.call('HSET', KEYS[6], unpack(kept))
  redis.call('EXPIRE', KEYS[6], KEEP_SECONDS)
  if held_for then
    redis.call('ZADD', KEYS[7], string.format('%.6f', now + held_for + GRACE), own_member)
    redis.call('EXPIRE', KEYS[7], KEEP_SECONDS)
  else
    redis.call('ZREM', KEYS[7], own_member)
  end
end
local function answer(wait)
  redis.call('ZADD', KEYS[5], string.format('%.6f', now), ARGV[11])
  redis.call('ZREMRANGEBYSCORE', KEYS[5], '-inf', now - PRESENT_SECONDS)
  redis.call('EXPIRE', KEYS[5], KEEP_SECONDS)
  write()
  local mine = own or {}
  return {
    math.ceil(wait * 1000000),
    redis.call('ZCARD', KEYS[5]),
    math.floor((s['limit:requests'] or 0) * 1000),
    math.floor((s['limit:tokens'] or 0) * 1000),
    math.ceil((mine.requests or 0) * 60000),
    math.ceil((mine.tokens or 0) * 60000),
  }
end
if own_wait > 0 then
  redis.call('ZREM', KEYS[2], member)
  redis.call('ZREM', KEYS[3], member)
  own_wait = math.max(SHORTEST, math.min(own_wait, PACE_LOOK_AGAIN))
  keep_own(own_wait)
  return answer(own_wait)
end

local tag = redis.call('ZSCORE', KEYS[2], member)
if tag then
  tag = tonumber(tag)
elseif purpose == 'query' then
  tag = -1
else
  tag = math.max(s.tag or 0, tonumber(redis.call('HGET', KEYS[4], flow) or 0))
  local cost = 0
  for kind, rate in pairs(found) do cost = math.max(cost, needs[kind] / rate) end
  if cost > 0 then
    redis.call('HSET', KEYS[4], flow, string.format('%.6f', tag + cost))
    redis.call('EXPIRE', KEYS[4], KEEP_SECONDS)
  end
end

local before = {requests = {query = 0, migration = 0}, tokens = {query = 0, migration = 0}}
local upto = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', tag, 'WITHSCORES')
for i = 1, #upto, 2 do
  local one = upto[i]
  local its_purpose, its_tokens = string.match(one, '^(%a+)|(%d+)|')
  if tonumber(upto[i + 1]) < tag or one < member then
    for _, bucket in ipairs(buckets_of(its_purpose)) do
      before.requests[bucket] = before.requests[bucket] + 1
      before.tokens[bucket] = before.tokens[bucket] + tonumber(its_tokens)
    end
  end
end

local paused = (s.paused or 0) - now
local wait = math.max(0, paused)
for kind, rate in pairs(found) do
  for _, bucket in ipairs(buckets_of(purpose)) do
    local speed = rate * part_of(bucket)
    local enough = math.min(needs[kind], speed * burst / 2)
    local short = before[kind][bucket] + enough - s[level(kind, bucket)]
    wait = math.max(wait, short / speed)
  end
end

if wait <= 0 then
  for kind, _ in pairs(found) do
    for _, bucket in ipairs(buckets_of(purpose)) do
      set(level(kind, bucket), s[level(kind, bucket)] - needs[kind])
    end
  end
  for kind, left in pairs(own_level) do own_level[kind] = left - needs[kind] end
  keep_own(nil)
  redis.call('ZREM', KEYS[2], member)
  redis.call('ZREM', KEYS[3], member)
  if purpose == 'migration' then set('tag', math.max(s.tag or 0, tag)) end
  if not s.window_at then set('window_at', now) end
  if now - s.window_at >= WINDOW then
    set('window_at', now); set('last_count', s.count or 0); set('count', 0)
    set('last_sent', s.sent or 0); set('sent', 0)
  end
  set('count', (s.count or 0) + 1)
  set('sent', (s.sent or 0) + 1)
  set('let', (s.let or 0) + 1)
else
  if wait > LOOK_AGAIN and paused <= 0 then wait = math.max(LOOK_AGAIN, wait / 2) end
  wait = math.max(SHORTEST, wait)
  redis.call('ZADD', KEYS[2], string.format('%.6f', tag), member)
  redis.call('ZADD', KEYS[3], string.format('%.6f', now + wait + GRACE), member)
  redis.call('EXPIRE', KEYS[2], KEEP_SECONDS)
  redis.call('EXPIRE', KEYS[3], KEEP_SECONDS)
  keep_own(wait)
end
return answer(wait)
"""
)

#: ARGV 7: tokens to give back (negative: to take), 8: purpose, 9: flow.
SETTLE = (
    _BEGIN
    + """
refill()
for _, bucket in ipairs(buckets_of(ARGV[8])) do
  local name = level('tokens', bucket)
  if s[name] then set(name, s[name] + tonumber(ARGV[7])) end
end
local own = ARGV[9] .. '|tokens'
if redis.call('HEXISTS', KEYS[6], own) == 1 then
  redis.call('HINCRBYFLOAT', KEYS[6], own, ARGV[7])
end
write()
"""
)

#: KEYS: as all. ARGV: flow, share, requests and tokens a minute (0 for none), seconds that it
#: holds; a share of 0 takes the pace away.
SET_PACE = (
    CLOCK
    + """
if tonumber(ARGV[2]) == 0 then
  redis.call('HDEL', KEYS[6], ARGV[1], ARGV[1] .. '|requests', ARGV[1] .. '|tokens',
    ARGV[1] .. '|at')
  return
end
redis.call('HSET', KEYS[6], ARGV[1], string.format(
  '%.6f %.6f %.6f %.6f', ARGV[2], ARGV[3], ARGV[4], now + tonumber(ARGV[5])))
redis.call('EXPIRE', KEYS[6], 86400)
"""
)

#: ARGV 7-8: announced requests and tokens a minute (-1: not said, 0: forget what was),
#: 9-10: what is left of each (-1: not said).
LEARN = (
    _BEGIN
    + """
for i, kind in ipairs(KINDS) do
  local announced, left = tonumber(ARGV[6 + i]), tonumber(ARGV[8 + i])
  local limit, heard_at = 'limit:' .. kind, 'heard_at:' .. kind
  if announced == 0 then
    redis.call('HDEL', KEYS[1], limit)
    s[limit], changed[limit] = nil, nil
  elseif announced > 0
    and (announced <= (s[limit] or announced) or now - (s[heard_at] or 0) >= LOWER_COUNTS) then
    set(limit, announced)
    set(heard_at, now)
  end
  local name = level(kind, 'query')
  if left >= 0 and s[name] then set(name, math.min(s[name], left)) end
end
write()
"""
)

#: ARGV 7: seconds.
PAUSE = (
    _BEGIN
    + """
set('paused', math.max(s.paused or 0, now + tonumber(ARGV[7])))
write()
"""
)

REFUSED = (
    _BEGIN
    + """
refill()
local function a_second(now_counted, last_counted)
  return math.max(
    (now_counted or 0) / math.max(now - (s.window_at or now), 0.5), (last_counted or 0) / WINDOW)
end
set('count', math.max(0, (s.count or 0) - 1))
set('turned', (s.turned or 0) + 1)
local remembered = now - (s.refused_at or 0) < REFUSALS_REMEMBERED
set('refused_at', now)
if remembered and now - (s.slowed_at or 0) >= SLOWED_ONCE then
  if limit_of('requests') or limit_of('tokens') then
    set('slow', math.max(SLOWEST, slowness() * SLOWED_BY))
  else
    local counted, before = a_second(s.count, s.last_count), adapted()
    -- Since the last time: calls let in, and those turned away. Where most were answered the
    -- pace is what is wrong; else nothing was learned of it.
    if not before then
      set('well', a_second(s.sent, s.last_sent))
    elseif (s.let or 0) >= 2 * (s.turned or 0) then
      set('well', math.min(s.well or before, before))
    end
    set('let', 0); set('turned', 0)
    local slower = before or s.well
    if counted > 0 then slower = math.min(counted, slower) end
    set('pace', math.max(SLOWEST_PACE, slower * BACKED_OFF_BY))
  end
  set('slowed_at', now)
end
for kind, _ in pairs(rates()) do
  for _, purpose in ipairs(PURPOSES) do
    local name = level(kind, purpose)
    set(name, math.min(s[name] or 0, 0))
  end
end
write()
"""
)

#: Answers, as texts: limits for requests and tokens (0 for none), the share of them in use, the
#: pace where none is known (0 for none), seconds of a pause, seconds since a refusal (-1 for none).
LOOK = (
    _BEGIN
    + """
local told = {
  limit_of('requests') or 0, limit_of('tokens') or 0, slowness(), adapted() or 0,
  math.max(0, (s.paused or 0) - now), s.refused_at and now - s.refused_at or -1,
}
for i, number in ipairs(told) do told[i] = string.format('%.6f', number) end
return told
"""
)

#: KEYS: as all. Forgets what refusals have taught; a pause in force stays. Answers how many facts.
FORGET = """
return redis.call('HDEL', KEYS[1],
  'slow', 'slowed_at', 'pace', 'refused_at', 'well', 'let', 'turned')
"""
