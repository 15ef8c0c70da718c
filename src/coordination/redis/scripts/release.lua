-- Lets go of keys, as far as the owner that is named holds them.
--
-- KEYS  the keys
-- ARGV  the owner of each

for i, key in ipairs(KEYS) do
    if redis.call('GET', key) == ARGV[i] then
        redis.call('DEL', key)
    end
end
return 0
