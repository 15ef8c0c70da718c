-- Takes up to `wanted` tokens of a rate, of which others than critical traffic leave a part untouched. The same rules as
-- coordination/memory/bucket.rs.
--
-- KEYS[1]  a hash: tokens (fractions too), at (microseconds of the last filling)
-- ARGV     per second, burst, what a new bucket begins with, what this caller must leave, wanted; microseconds now, or empty
--          for the clock of Redis, which is one for all nodes
-- answers  {granted, microseconds until it is worth asking again}

local rate, burst, first, kept = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local wanted = tonumber(ARGV[5])
local now = tonumber(ARGV[6])
if not now then
    local time = redis.call('TIME')
    now = tonumber(time[1]) * 1000000 + tonumber(time[2])
end

local held = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local tokens, at = tonumber(held[1]), tonumber(held[2])
if not (tokens and at) then
    -- New, or forgotten: it may have been emptied a moment ago, so it does not begin with a burst.
    tokens, at = first, now
end
-- A clock that went back fills nothing, and does not take away either.
tokens = math.min(tokens + math.max(now - at, 0) / 1000000 * rate, burst)

-- A sum of fractions may miss a whole by a rounding error.
local free = tokens - kept
local granted = math.min(math.max(math.floor(free + 0.000001), 0), wanted)
tokens = tokens - granted

-- Redis keeps text, and Lua's own has 14 digits: too few for a time in microseconds.
redis.call('HSET', KEYS[1], 'tokens', string.format('%.17g', tokens), 'at', string.format('%.0f', now))
-- Kept for longer than it takes to fill, a month at most: what is gone has been full, and begins with less.
redis.call('EXPIRE', KEYS[1], math.ceil(math.min(2 * burst / math.max(rate, 0.000001) + 60, 2592000)))

if granted >= wanted then
    return {granted, 0}
end
-- Not for every single token: 20 ms' worth at a time.
local enough = math.max(math.min(wanted - granted, math.floor(rate * 0.02)), 1)
local missing = math.max(enough - (free - granted), 0)
local wait = math.min(missing / math.max(rate, 0.000000001), 3600)
return {granted, math.max(math.ceil(wait * 1000000), 1000)}
