-- Notes how many connections of each user a node has. Every node's word ends for itself: one that is dead must not live on
-- because others speak of the same user.
--
-- KEYS  one hash for each user: node -> "connections until", in milliseconds
-- ARGV  the node; milliseconds that it counts; microseconds now, or empty for the clock of Redis; the connections, for each user

local node, ttl, now = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
if not now then
    local time = redis.call('TIME')
    now = tonumber(time[1]) * 1000000 + tonumber(time[2])
end
now = math.floor(now / 1000)
for i, key in ipairs(KEYS) do
    local others = redis.call('HGETALL', key)
    for j = 1, #others, 2 do
        if tonumber(string.match(others[j + 1], ' (%d+)$')) <= now then
            redis.call('HDEL', key, others[j])
        end
    end
    if ARGV[i + 3] == '0' then
        redis.call('HDEL', key, node)
    else
        redis.call('HSET', key, node, ARGV[i + 3] .. ' ' .. string.format('%.0f', now + ttl))
        redis.call('PEXPIRE', key, ttl)
    end
end
return 0
