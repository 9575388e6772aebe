/** What has to happen in Redis in one step. Each is short and bounded: a script stops the world there (R20). */

export interface RedisScript {
  readonly keys: number;
  readonly lua: string;
}

/**
 * Compare, write, move the pointer, record, tell. Only the version decides who is first: a writer that was stopped for a
 * minute finds another version and changes nothing (R5).
 */
const publish: RedisScript = {
  keys: 4,
  lua: `
local current = redis.call('GET', KEYS[2]) or '0'
if current ~= ARGV[1] then return redis.error_reply('CONFLICT ' .. current) end
if current ~= '0' and (redis.call('HGET', KEYS[1], 'epoch') or '') ~= ARGV[3] then return redis.error_reply('CONFLICT ' .. current .. ' of another epoch') end
redis.call('HSET', KEYS[1], 'layout', '1', 'epoch', ARGV[3])
redis.call('SET', KEYS[3], ARGV[4])
redis.call('SET', KEYS[2], ARGV[2])
if ARGV[5] ~= '' then redis.call('DEL', ARGV[5]) end
redis.call('XADD', KEYS[4], 'MAXLEN', '~', ARGV[6], '*', 'version', ARGV[2], 'author', ARGV[7], 'message', ARGV[8], 'at', ARGV[9], 'changes', ARGV[10])
redis.call('PUBLISH', ARGV[11], ARGV[12])
return 'OK'`,
};

/** Lease by the server's clock, so that a wrong one elsewhere expires nobody (R11). */
const register: RedisScript = {
  keys: 3,
  lua: `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local known = redis.call('HGET', KEYS[1], 'visible')
redis.call('HSET', KEYS[1], 'record', ARGV[3], 'visible', ARGV[4], unpack(ARGV, 10))
redis.call('PEXPIRE', KEYS[1], ARGV[2])
redis.call('HSET', KEYS[2], ARGV[1], string.sub(ARGV[5], 1, -2) .. string.format(',"expiry":%.0f}', now + ARGV[2]))
redis.call('PEXPIRE', KEYS[2], ARGV[6])
redis.call('SADD', KEYS[3], ARGV[7])
if known == ARGV[4] then return 0 end
for _, id in ipairs(redis.call('HKEYS', KEYS[2])) do
  local left = string.match(redis.call('HGET', KEYS[2], id), '"left":(%d+)')
  local expiry = string.match(redis.call('HGET', KEYS[2], id), '"expiry":(%d+)')
  if tonumber(left or expiry or '0') + ARGV[6] < now then redis.call('HDEL', KEYS[2], id) end
end
redis.call('PUBLISH', ARGV[8], ARGV[9])
return 1`,
};

const deregister: RedisScript = {
  keys: 2,
  lua: `
local time = redis.call('TIME')
local existed = redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[2], ARGV[1], string.format('{"left":%.0f}', time[1] * 1000 + math.floor(time[2] / 1000)))
redis.call('PEXPIRE', KEYS[2], ARGV[2])
if existed == 1 then redis.call('PUBLISH', ARGV[3], ARGV[4]) end
return existed`,
};

const vote: RedisScript = {
  keys: 2,
  lua: `
redis.call('HSET', KEYS[1], ARGV[2], ARGV[3])
local ttl = tonumber(ARGV[4])
if redis.call('PTTL', KEYS[1]) < ttl then redis.call('PEXPIRE', KEYS[1], ARGV[4]) end
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', ARGV[5])
redis.call('ZADD', KEYS[2], 'GT', ARGV[3], ARGV[1])
redis.call('PUBLISH', ARGV[6], ARGV[7])
return 1`,
};

const withdraw: RedisScript = {
  keys: 1,
  lua: `
local existed = redis.call('HDEL', KEYS[1], ARGV[1])
if existed == 1 then redis.call('PUBLISH', ARGV[2], ARGV[3]) end
return existed`,
};

export const redisScripts: Readonly<Record<string, RedisScript>> = { publish, register, deregister, vote, withdraw };
