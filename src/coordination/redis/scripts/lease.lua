-- Takes up to `wanted` tokens of a rate in two buckets: one with all of it, which every token comes from, and one that bounds
-- what others than critical traffic may take. The same rules as coordination/memory/bucket.rs.
--
-- KEYS[1]  a hash: all, common (tokens, fractions too), at (microseconds of the last filling)
-- ARGV     all: per second, burst, first; common: per second, burst, first; wanted; critical (1 or 0); microseconds now, or
--          empty for the clock of Redis, which is one for all nodes
-- answers  {granted, microseconds until there is a whole token}

local all_rate, all_burst, all_first = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local common_rate, common_burst, common_first = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local wanted, critical = tonumber(ARGV[7]), ARGV[8] == '1'
local now = tonumber(ARGV[9])
if not now then
    local time = redis.call('TIME')
    now = tonumber(time[1]) * 1000000 + tonumber(time[2])
end

local kept = redis.call('HMGET', KEYS[1], 'all', 'common', 'at')
local all, common, at = tonumber(kept[1]), tonumber(kept[2]), tonumber(kept[3])
if not (all and common and at) then
    -- New, or forgotten: it may have been emptied a moment ago, so it does not begin with a burst.
    all, common, at = all_first, common_first, now
end
-- A clock that went back fills nothing, and does not take away either.
local seconds = math.max(now - at, 0) / 1000000
all = math.min(all + seconds * all_rate, all_burst)
common = math.min(common + seconds * common_rate, common_burst)

-- A sum of fractions may miss a whole by a rounding error.
local whole = math.floor(all + 0.000001)
if not critical then
    whole = math.min(whole, math.floor(common + 0.000001))
end
local granted = math.min(whole, wanted)
all = all - granted
if not critical then
    common = common - granted
end

-- Redis keeps text, and Lua's own has 14 digits: too few for a time in microseconds.
redis.call('HSET', KEYS[1], 'all', string.format('%.17g', all), 'common', string.format('%.17g', common),
    'at', string.format('%.0f', now))
-- Kept for longer than it takes to fill, a month at most: what is gone has been full, and begins with less.
local fill = math.max(all_burst / math.max(all_rate, 0.000001), common_burst / math.max(common_rate, 0.000001))
redis.call('EXPIRE', KEYS[1], math.ceil(math.min(2 * fill + 60, 2592000)))

if granted >= wanted then
    return {granted, 0}
end
local function until_one(tokens, rate)
    return math.min(math.max(1 - tokens, 0) / math.max(rate, 0.000000001), 3600)
end
local wait = until_one(all, all_rate)
if not critical then
    wait = math.max(wait, until_one(common, common_rate))
end
return {granted, math.max(math.ceil(wait * 1000000), 1000)}
