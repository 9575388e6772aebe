/** A program for process.test.ts: does what its first argument says. */
import { writeSync } from "node:fs";
import process from "node:process";
import { currentRuntime } from "../../src/runtime/current.ts";

const { process: control } = currentRuntime();
const say = (text: string): void => void writeSync(1, text);

switch (process.argv[2]) {
  case "uncaught":
    control.onUncaught((error, isFatal) => say(`${(error as Error).message} ${isFatal ? "fatal" : "survived"}\n`));
    void Promise.reject(new Error("rejection"));
    setTimeout(() => {
      throw Object.assign(new Error("socket"), { code: "ECONNRESET" });
    }, 20);
    setTimeout(() => {
      throw new Error("bug");
    }, 60);
    setInterval(() => {}, 1_000);
    break;
  case "lines":
    for (let i = 0; i < 5_000; i++) control.writeError(`line ${i}\n`);
    await control.flushed();
    process.exit(3);
    break;
  case "flood":
    // 50 MB into a pipe whose reader has stopped: memory stays, lines are counted as dropped.
    for (let i = 0; i < 500; i++) {
      for (let j = 0; j < 100; j++) control.writeError(`${"x".repeat(1_000)}\n`);
      await new Promise((resolve) => setTimeout(resolve, 0));
    }
    say(JSON.stringify({ dropped: control.linesDropped, residentBytes: control.usage().residentBytes }));
    await control.flushed();
    process.exit(0);
    break;
  default:
    say("unknown\n");
    process.exit(2);
}
