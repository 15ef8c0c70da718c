-- The nodes that have connections of each user: for each key a list node, connections, node, connections …
--
-- KEYS     as in set_present.lua
-- ARGV[1]  microseconds now, or empty for the clock of Redis

local now = tonumber(ARGV[1])
if not now then
    local time = redis.call('TIME')
    now = tonumber(time[1]) * 1000000 + tonumber(time[2])
end
now = math.floor(now / 1000)
local answers = {}
for i, key in ipairs(KEYS) do
    local nodes = redis.call('HGETALL', key)
    local present = {}
    for j = 1, #nodes, 2 do
        local connections, ending = string.match(nodes[j + 1], '^(%d+) (%d+)$')
        if tonumber(ending) > now then
            present[#present + 1] = nodes[j]
            present[#present + 1] = tonumber(connections)
        end
    end
    answers[i] = present
end
return answers
