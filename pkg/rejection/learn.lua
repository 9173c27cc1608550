-- Stores facts, if the mark is still the one that the caller has seen.
-- KEYS: items, users, sold
-- ARGV: that mark, the new one, seconds to live, 1: sold out, how many of the
--       arguments that follow are items and their owners; the others are users
--       at their limit and their grants
local items, users, sold = KEYS[1], KEYS[2], KEYS[3]
local life, owners = ARGV[3], 5 + tonumber(ARGV[5])

if (redis.call('HGET', items, 'mark') or '') ~= ARGV[1] then
	return 0
end
redis.call('HSET', items, 'mark', ARGV[2]) -- first: if Redis has no memory left, it is a script's first write that fails
if ARGV[1] == '' then -- facts without a mark prove nothing, and must not begin to
	redis.call('DEL', items, users, sold)
	redis.call('HSET', items, 'mark', ARGV[2])
end

local function store(key, first, last)
	for i = first, last, 1000 do -- unpack has a limit
		redis.call('HSET', key, unpack(ARGV, i, math.min(i + 999, last)))
	end
	redis.call('EXPIRE', key, life)
end

store(items, 6, owners)
if owners < #ARGV then
	store(users, owners + 1, #ARGV)
end
if ARGV[4] == '1' then
	redis.call('SET', sold, '1', 'EX', life)
end
return 1
