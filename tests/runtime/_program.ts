/** A program for process.test.ts: does what its first argument says. */
import { currentRuntime } from "../../src/runtime/current.ts";

const { process: control } = currentRuntime();
const stay = (): void => void setInterval(() => {}, 1_000);

switch (control.args[0]) {
  case "drain":
    control.onTermination(async (signal) => {
      control.writeOutput(`draining on ${signal}\n`);
      await new Promise((resolve) => setTimeout(resolve, control.args[1] === "forever" ? 60_000 : 50));
      control.writeOutput("drained\n");
      if (control.args[1] === "badly") throw new Error("stuck");
    });
    control.writeOutput("ready\n");
    stay();
    break;
  case "uncaught":
    control.onUncaught((error, isFatal) =>
      control.writeOutput(`${(error as Error).message} ${isFatal ? "fatal" : "survived"}\n`),
    );
    void Promise.reject(new Error("rejection"));
    setTimeout(() => {
      throw Object.assign(new Error("socket"), { code: "ECONNRESET" });
    }, 20);
    setTimeout(() => {
      throw new Error("bug");
    }, 60);
    stay();
    break;
  case "lines":
    for (let i = 0; i < 5_000; i++) control.writeOutput(`line ${i}\n`);
    await control.exit(3);
    break;
  case "flood":
    // 50 MB into a pipe whose reader has stopped: memory stays, lines are counted as dropped.
    for (let i = 0; i < 500; i++) {
      for (let j = 0; j < 100; j++) control.writeError(`${"x".repeat(1_000)}\n`);
      await new Promise((resolve) => setTimeout(resolve, 0));
    }
    control.writeOutput(
      JSON.stringify({ dropped: control.linesDropped, residentBytes: control.usage().residentBytes }),
    );
    await control.exit(0);
    break;
  case "input":
    control.writeOutput(JSON.stringify([await control.readInput(), control.args]));
    await control.exit(0);
    break;
  default:
    control.writeError("unknown\n");
    await control.exit(2);
}
