-- Puts tokens back that were not spent. A bucket that is not there begins anew without them.
--
-- KEYS[1]  as in lease.lua
-- ARGV     burst of all, burst of common, tokens, critical (1 or 0)

local kept = redis.call('HMGET', KEYS[1], 'all', 'common')
local all, common = tonumber(kept[1]), tonumber(kept[2])
if not (all and common) then
    return 0
end
all = math.min(all + tonumber(ARGV[3]), tonumber(ARGV[1]))
if ARGV[4] ~= '1' then
    common = math.min(common + tonumber(ARGV[3]), tonumber(ARGV[2]))
end
redis.call('HSET', KEYS[1], 'all', string.format('%.17g', all), 'common', string.format('%.17g', common))
return 1
