import { redisStore } from "../../src/control/redis-store.ts";
import { startRedis } from "../support/redis.ts";
import { storeSuite } from "./_store-suite.ts";

storeSuite("redis", async () => {
  const server = await startRedis();
  const open = async () => redisStore({ url: server.url });
  return { open, openAs: open, close: () => server.stop() };
});
