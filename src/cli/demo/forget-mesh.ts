/** Removes what a demo left in somebody's Redis. One script, spoken to the server directly: only the store knows a client. */
import { connect as connectPlain } from "node:net";
import { connect as connectTls } from "node:tls";
import { RedisKeys } from "../../control/redis-link.ts";

/**
 * Every name is known or listed by the mesh itself: nothing scans a key space that belongs to others. Records of instances
 * end with their leases.
 */
const script = `
local names = {KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]}
for _, service in ipairs(redis.call('SMEMBERS', KEYS[4])) do names[#names + 1] = ARGV[1] .. service end
for _, place in ipairs(redis.call('ZRANGE', KEYS[5], 0, -1)) do names[#names + 1] = ARGV[2] .. place end
for version = 1, 100 do names[#names + 1] = ARGV[3] .. version end
return redis.call('DEL', unpack(names))`;

/** Resolves when it is done, or when it cannot be: a demo that ends does not fail over what it leaves behind. */
export function forgetMesh(storeUrl: string, mesh: string): Promise<void> {
  const url = new URL(storeUrl);
  const keys = new RedisKeys(mesh);
  const names = [keys.meta, keys.current, keys.history, keys.services, keys.breakers, keys.overrides];
  const prefixes = [keys.endpoints(""), keys.breaker(""), keys.snapshot(0).slice(0, -1)];
  const commands = [["EVAL", script, String(names.length), ...names, ...prefixes], ["QUIT"]];
  const database = url.pathname.slice(1);
  if (database !== "") commands.unshift(["SELECT", database]);
  const user = url.username === "" ? [] : [decodeURIComponent(url.username)];
  if (url.password !== "") commands.unshift(["AUTH", ...user, decodeURIComponent(url.password)]);

  const target = { host: url.hostname.replace(/^\[|\]$/g, ""), port: Number(url.port || 6379) };
  return new Promise((resolve) => {
    const socket =
      url.protocol === "rediss:" ? connectTls({ ...target, servername: target.host }) : connectPlain(target);
    socket.setTimeout(2_000, () => socket.destroy());
    socket.on("error", () => {});
    socket.once("close", () => resolve());
    socket.resume();
    socket.write(commands.map(encodeCommand).join(""));
  });
}

/** RESP: an array of bulk strings. */
function encodeCommand(words: readonly string[]): string {
  return `*${words.length}\r\n${words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`).join("")}`;
}
