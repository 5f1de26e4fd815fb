"""The Lua that runs inside Redis: each script is one atomic step of a checkpoint.

A script that needs the plan starts with ``SOUND``, which looks at all four
parts of it and answers ``LOST <part>`` when one is gone or contradicts the
others, so that no answer is ever built from half a checkpoint. No plan key is
created anywhere but in ``START_PLAN`` (``borders`` at the first append), so a
lost part stays visibly lost.

``PLAN_KEYS`` of every plan script: 1 header hash, 2 borders list, 3 done
bitmap, 4 tally hash; and 5 what was moved lately, which no answer but the rate
is built from. Bit 0 of the bitmap is always set and says that the
bitmap is there; batch ``i`` is bit ``i + 1``. Times are Redis' own.
"""

from __future__ import annotations

#: Defines ``total`` (the number of planned batches), or returns the error.
SOUND = """
local total = tonumber(redis.call('HGET', KEYS[1], 'total_batches'))
if not total then return redis.error_reply('LOST header') end
if redis.call('LLEN', KEYS[2]) ~= total then return redis.error_reply('LOST borders') end
if redis.call('GETBIT', KEYS[3], 0) == 0 then return redis.error_reply('LOST done') end
if redis.call('EXISTS', KEYS[4]) == 0 then return redis.error_reply('LOST tally') end
"""

#: Follows SOUND; ARGV[1] is the batch. Defines ``batch``, or returns the error.
KNOWN_BATCH = """
local batch = tonumber(ARGV[1])
if batch < 0 or batch >= total then return redis.error_reply('LOST batch') end
"""

HEADER = """
return redis.call('HMGET', KEYS[1],
  'batch_size', 'total_chunks', 'total_batches', 'complete', 'key_type')
"""

#: ARGV: plan token, batch size, seconds to keep.
START_PLAN = """
redis.call('UNLINK', KEYS[1], KEYS[2], KEYS[3], KEYS[4])
redis.call('HSET', KEYS[1], 'token', ARGV[1], 'batch_size', ARGV[2],
  'total_chunks', 0, 'total_batches', 0, 'complete', 0, 'key_type', '')
redis.call('SETBIT', KEYS[3], 0, 1)
redis.call('HSET', KEYS[4],
  'batches', 0, 'processed', 0, 'failed', 0, 'skipped', 0, 'tokens', 0,
  'read:chunks', 0, 'read:high', 0, 'read:low', 0)
for _, part in ipairs({1, 3, 4}) do redis.call('EXPIRE', KEYS[part], ARGV[3]) end
"""

#: ARGV: plan token, batches appended before, chunks, key type, seconds to keep, borders…
#: An append whose reply was lost is recognised by its last border and not repeated.
APPEND_BORDERS = (
    SOUND
    + """
if redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] then
  return redis.error_reply('LOST token') end
if redis.call('HGET', KEYS[1], 'complete') == '1' then
  return redis.error_reply('LOST token') end
local before, new = tonumber(ARGV[2]), #ARGV - 5
if total == before + new and redis.call('LINDEX', KEYS[2], -1) == ARGV[#ARGV] then return end
if total ~= before then return redis.error_reply('LOST borders') end
for first = 6, #ARGV, 1000 do
  redis.call('RPUSH', KEYS[2], unpack(ARGV, first, math.min(first + 999, #ARGV)))
end
redis.call('HSET', KEYS[1], 'total_batches', total + new, 'key_type', ARGV[4])
redis.call('HINCRBY', KEYS[1], 'total_chunks', ARGV[3])
for part = 1, 4 do redis.call('EXPIRE', KEYS[part], ARGV[5]) end
"""
)

#: ARGV: plan token. Sealing what is sealed already changes nothing.
SEAL_PLAN = (
    SOUND
    + """
if redis.call('HGET', KEYS[1], 'complete') ~= '1' then
  if redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] then
    return redis.error_reply('LOST token') end
  redis.call('HSET', KEYS[1], 'complete', 1)
end
"""
    + HEADER
)

READ_PLAN = SOUND + HEADER

#: ARGV: first batch, how many at most. Answers key type, and the borders from the one before
#: the first batch on; batch 0 has none before it.
BATCH_RANGES = (
    SOUND
    + KNOWN_BATCH
    + """
return {redis.call('HGET', KEYS[1], 'key_type'),
  redis.call('LRANGE', KEYS[2], math.max(batch - 1, 0), batch + ARGV[2] - 1)}
"""
)

#: ARGV: bit to start from, bytes wanted. Answers total, first byte, the bytes from
#: there. BITPOS leaps over what is done inside the server; the bytes after it come
#: along so that one call usually yields all a caller wants.
UNDONE_WINDOW = (
    SOUND
    + """
local byte = math.floor(ARGV[1] / 8)
if byte < redis.call('STRLEN', KEYS[3]) then
  byte = math.floor(redis.call('BITPOS', KEYS[3], 0, byte) / 8)
end
return {total, byte, redis.call('GETRANGE', KEYS[3], byte, byte + ARGV[2] - 1)}
"""
)

#: Follows SOUND. Defines ``done`` (the number of batches that are), or returns the error:
#: the tally counts marks as well, so a bitmap from another moment is noticed.
COUNTED = """
local done = redis.call('BITCOUNT', KEYS[3]) - 1
if done ~= tonumber(redis.call('HGET', KEYS[4], 'batches')) then
  return redis.error_reply('LOST done') end
"""

DONE_COUNT = SOUND + COUNTED + "return done"

READ_CONTENT = SOUND + "return redis.call('HMGET', KEYS[4], 'read:chunks', 'read:high', 'read:low')"

READ_TALLY = SOUND + "return redis.call('HGETALL', KEYS[4])"

#: Answers the header, the tally, the number of batches done, what was moved by steps, the time.
SNAPSHOT = (
    SOUND
    + COUNTED
    + "local function header()"
    + HEADER
    + "end return {header(), redis.call('HGETALL', KEYS[4]), done, "
    + "redis.call('HGETALL', KEYS[5]), redis.call('TIME')[1]}"
)

#: Seconds that what was moved is counted together for, and of how many such the rate is.
PACE_STEP, PACE_STEPS = 5, 12

#: Defines ``moved(chunks)``, which counts them under the time it is now, and forgets the oldest.
#: ``in_slices`` are chunks that the batch had noted before, and that were counted then.
PACE = f"""
local noted = redis.call('HGET', KEYS[4], 'slice:' .. ARGV[1])
local in_slices = noted and tonumber(string.match(noted, '^%d+')) or 0
local function moved(chunks)
  local step = math.floor(redis.call('TIME')[1] / {PACE_STEP})
  redis.call('HINCRBY', KEYS[5], step, chunks)
  if redis.call('HLEN', KEYS[5]) > {PACE_STEPS} + 4 then
    for _, old in ipairs(redis.call('HKEYS', KEYS[5])) do
      if tonumber(old) < step - {PACE_STEPS} then redis.call('HDEL', KEYS[5], old) end
    end
  end
  redis.call('EXPIRE', KEYS[5], {PACE_STEP * PACE_STEPS * 2})
end
"""

#: ARGV: batch, processed, failed, skipped, tokens.
NOTE_SLICE = (
    SOUND
    + KNOWN_BATCH
    + """
if redis.call('GETBIT', KEYS[3], batch + 1) == 1 then return end
"""
    + PACE
    + """
moved(ARGV[2] - in_slices)
redis.call('HSET', KEYS[4], 'slice:' .. ARGV[1], table.concat(ARGV, ' ', 2, 5))
"""
)

#: ARGV: as NOTE_SLICE, then whether a range is given, whether it has a lower bound,
#: lower bound, upper bound, seconds to keep; what was read: chunks and the two halves
#: of its digest, which are added up apart because their sums must stay below 2^63.
MARK_DONE = (
    SOUND
    + KNOWN_BATCH
    + """
if ARGV[6] == '1' then
  local after = batch > 0 and redis.call('LINDEX', KEYS[2], batch - 1)
  local expected = ARGV[7] == '1' and ARGV[8]
  if after ~= expected or redis.call('LINDEX', KEYS[2], batch) ~= ARGV[9] then
    return redis.error_reply('LOST range') end
end
if redis.call('SETBIT', KEYS[3], batch + 1, 1) == 1 then return 0 end
"""
    + PACE
    + """
moved(ARGV[2] - in_slices)
redis.call('HDEL', KEYS[4], 'slice:' .. ARGV[1])
redis.call('HINCRBY', KEYS[4], 'batches', 1)
for position, name in ipairs({'processed', 'failed', 'skipped', 'tokens'}) do
  redis.call('HINCRBY', KEYS[4], name, ARGV[position + 1])
end
for position, name in ipairs({'read:chunks', 'read:high', 'read:low'}) do
  redis.call('HINCRBY', KEYS[4], name, ARGV[position + 10])
end
for part = 1, 4 do redis.call('EXPIRE', KEYS[part], ARGV[10]) end
return 1
"""
)

NOW_MS = """
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
"""

#: KEYS: leases (sorted set, scored by expiry), holders (hash of tokens).
#: ARGV: lease name, token, milliseconds, seconds to keep, epoch. Expired leases go first.
#: A holder that asks again (its first reply was lost) has it still.
TAKE_LEASE = (
    NOW_MS
    + """
if tonumber(ARGV[5]) < tonumber(redis.call('HGET', KEYS[2], 'closed_below') or 0) then return 0 end
for _, name in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now_ms)) do
  redis.call('ZREM', KEYS[1], name)
  redis.call('HDEL', KEYS[2], name)
end
if redis.call('ZSCORE', KEYS[1], ARGV[1]) and redis.call('HGET', KEYS[2], ARGV[1]) ~= ARGV[2] then
  return 0 end
redis.call('ZADD', KEYS[1], now_ms + ARGV[3], ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[4])
redis.call('EXPIRE', KEYS[2], ARGV[4])
return 1
"""
)

#: KEYS: holders. ARGV: the first epoch that may still take leases, seconds to keep.
#: A late call of an older rollback opens nothing again.
CLOSE_EPOCHS = """
if tonumber(ARGV[1]) > tonumber(redis.call('HGET', KEYS[1], 'closed_below') or 0) then
  redis.call('HSET', KEYS[1], 'closed_below', ARGV[1]) end
redis.call('EXPIRE', KEYS[1], ARGV[2])
"""

#: ARGV: lease name, token. Only the holder's own lease is released.
DROP_LEASE = """
if redis.call('HGET', KEYS[2], ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('HDEL', KEYS[2], ARGV[1])
return redis.call('ZREM', KEYS[1], ARGV[1])
"""

COUNT_LEASES = NOW_MS + "return redis.call('ZCOUNT', KEYS[1], '(' .. now_ms, '+inf')"

#: KEYS: claims hash. ARGV: what, token, seconds to keep.
CLAIM = """
redis.call('HSETNX', KEYS[1], ARGV[1], ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[3])
return redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2]
"""
