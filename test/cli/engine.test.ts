import { execFileSync } from "node:child_process";
import { join, resolve } from "node:path";
import { expect, test } from "vitest";

const source = (path: string) => JSON.stringify(join(resolve(import.meta.dirname, "../.."), "src", path));

/** What a Node of its own prints: settings of V8 are a whole process's. */
function run(script: string): string {
  return execFileSync(process.execPath, ["--input-type=module", "-e", script], { encoding: "utf8" });
}

test("a tuned service collects its young generation by the bytes that went through", () => {
  const count = (tune: string) =>
    Number(
      run(`
        import { PerformanceObserver, constants } from "node:perf_hooks";
        import { setTimeout as pause } from "node:timers/promises";
        const { tuneEngine } = await import(${source("cli/engine.ts")});
        const { passedThrough } = await import(${source("proxy/dead-buffers.ts")});
        ${tune};
        let minor = 0;
        new PerformanceObserver((list) => {
          for (const { detail } of list.getEntries()) if (detail.kind === constants.NODE_PERFORMANCE_GC_MINOR) minor += 1;
        }).observe({ entryTypes: ["gc"] });
        for (let round = 0; round < 20; round++) {
          passedThrough(5 * 1_048_576);
          await pause(1);
        }
        await pause(20);
        console.log(minor);
      `),
    );
  expect(count("")).toBeLessThan(5);
  expect(count("tuneEngine()")).toBeGreaterThanOrEqual(20);
});

test("what a start leaves behind is collected once the thread has nothing to do", () => {
  const collected = run(`
    import { PerformanceObserver, constants } from "node:perf_hooks";
    const { collectOnceQuiet } = await import(${source("cli/quiet-collection.ts")});
    const busy = () => {
      for (const end = Date.now() + 100; Date.now() < end; );
    };
    let busySince = performance.now();
    let quietSince = Infinity;
    const done = Promise.withResolvers();
    new PerformanceObserver((list) => {
      for (const { detail, startTime } of list.getEntries()) {
        if (detail.kind === constants.NODE_PERFORMANCE_GC_MAJOR && startTime >= busySince) done.resolve(startTime >= quietSince);
      }
    }).observe({ entryTypes: ["gc"] });
    const working = setInterval(busy, 110);
    setTimeout(() => {
      clearInterval(working);
      quietSince = performance.now();
    }, 2_500);
    setTimeout(() => done.resolve("no collection"), 20_000);
    collectOnceQuiet();
    console.log(await done.promise);
    process.exit();
  `);
  expect(collected.trim()).toBe("true");
});
