-- Claims keys for their owners, and answers who holds each: the owner that asks, if nobody else did before. Who holds a key
-- already has it for the whole time again.
--
-- KEYS     the keys
-- ARGV[1]  milliseconds that a claim is held, unless it is let go; ARGV[2…] the owner of each key

local holders = {}
for i, key in ipairs(KEYS) do
    local owner = ARGV[i + 1]
    local holder = redis.call('GET', key)
    if not holder or holder == owner then
        redis.call('SET', key, owner, 'PX', ARGV[1])
        holder = owner
    end
    holders[i] = holder
end
return holders
