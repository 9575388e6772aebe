import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { systemClock, type Clock } from "../../src/clock.ts";
import { openTokenLedger, type LedgerFile } from "../../src/identity/token-ledger.ts";

function memoryFile(text: string | null = null): LedgerFile & { text: string | null; saves: number } {
  return {
    text,
    saves: 0,
    async load() {
      return this.text;
    },
    async save(next) {
      await new Promise((resolve) => setTimeout(resolve, 1));
      this.saves++;
      this.text = next;
    },
  };
}

const at = (epochMs: { value: number }): Clock => ({ ...systemClock, epochMs: () => epochMs.value });

describe("openTokenLedger()", () => {
  it("consume() is true once, however many ask at once", async () => {
    for (const file of [undefined, memoryFile()]) {
      const ledger = await openTokenLedger({ clock: systemClock, ...(file !== undefined && { file }) });
      const answers = await Promise.all(Array.from({ length: 100 }, () => ledger.consume("a", Date.now() + 60_000)));
      assert.equal(answers.filter(Boolean).length, 1);
      assert.equal(await ledger.consume("b", Date.now() + 60_000), true);
      assert.equal(await ledger.consume("a", Date.now() + 60_000), false);
    }
  });

  it("consume() is not forgotten by a restart", async () => {
    const file = memoryFile();
    await (await openTokenLedger({ clock: systemClock, file })).consume("a", Date.now() + 60_000);
    const restarted = await openTokenLedger({ clock: systemClock, file });
    assert.equal(await restarted.consume("a", Date.now() + 60_000), false);
    assert.equal(await restarted.consume("b", Date.now() + 60_000), true);
  });

  it("consume() keeps every use when many are recorded at once", async () => {
    const file = memoryFile();
    const ledger = await openTokenLedger({ clock: systemClock, file });
    await Promise.all(Array.from({ length: 20 }, (_, i) => ledger.consume(`t${i}`, Date.now() + 60_000)));
    assert.equal((JSON.parse(file.text!) as unknown[]).length, 20);
  });

  it("consume() forgets what has expired, so that the list stays short", async () => {
    const now = { value: 1_000_000 };
    const file = memoryFile();
    const ledger = await openTokenLedger({ clock: at(now), file, maxEntries: 2 });
    await ledger.consume("a", now.value + 1000);
    await ledger.consume("b", now.value + 1000);
    await assert.rejects(ledger.consume("c", now.value + 1000), /too many tokens/);
    now.value += 1001;
    assert.equal(await ledger.consume("c", now.value + 1000), true);
    assert.equal((JSON.parse(file.text!) as unknown[]).length, 1);
  });

  it("consume() lets nobody in if the use cannot be recorded, and nobody later with the same token", async () => {
    const file = memoryFile();
    const save = file.save.bind(file);
    file.save = () => Promise.reject(new Error("disk full"));
    const ledger = await openTokenLedger({ clock: systemClock, file });
    await assert.rejects(ledger.consume("a", Date.now() + 60_000), /could not be recorded/);
    file.save = save;
    assert.equal(await ledger.consume("a", Date.now() + 60_000), false);
    assert.equal(await ledger.consume("b", Date.now() + 60_000), true);
  });

  it("openTokenLedger() refuses a damaged list instead of starting empty", async () => {
    for (const text of ["", "{", "{}", "[1]", '[["a"]]', '[["a","b"]]']) {
      await assert.rejects(openTokenLedger({ clock: systemClock, file: memoryFile(text) }), /is damaged/, text);
    }
  });
});
