// Requests that wait and dials, in any order of events: nobody waits for nothing, no connection is lost or lent twice, and no
// more is dialled than waits.

import fc from "fast-check";
import { expect, it } from "vitest";
import { DialQueue } from "../../src/proxy/dial-queue.ts";

interface Dial {
  readonly signal: AbortSignal;
  resolve(connection: number): void;
  reject(error: Error): void;
}

interface Request {
  readonly controller: AbortController;
  outcome: number | Error | undefined;
}

const step = fc.record({
  what: fc.constantFrom("request", "give", "dialled", "failed", "leave"),
  at: fc.nat({ max: 9 }),
});

it("whatever comes in whatever order", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
      const spare: number[] = [];
      const queue = new DialQueue<number>((connection) => spare.push(connection));
      const dials = new Set<Dial>();
      const requests: Request[] = [];
      const handed: number[] = [];
      let made = 0;
      let refused = 0;
      const waiting = () => requests.filter(({ outcome }) => outcome === undefined);
      const dial = (signal: AbortSignal): Promise<number> => {
        const { promise, resolve, reject } = Promise.withResolvers<number>();
        const own: Dial = { signal, resolve, reject };
        dials.add(own);
        signal.addEventListener("abort", () => {
          dials.delete(own);
          reject(new Error("abandoned"));
        });
        return promise;
      };
      const take = (at: number): Dial | undefined => {
        const own = [...dials][at % dials.size];
        if (own !== undefined) dials.delete(own);
        return own;
      };
      for (const { what, at } of steps) {
        if (what === "request") {
          const before = dials.size;
          const needed = waiting().length + 1;
          const request: Request = { controller: new AbortController(), outcome: undefined };
          requests.push(request);
          queue.wait(dial, request.controller.signal).then(
            (connection) => {
              request.outcome = connection;
            },
            (error: Error) => {
              request.outcome = error;
            },
          );
          expect(dials.size).toBe(Math.max(before, needed));
        } else if (what === "give") {
          const connection = made++;
          expect(queue.give(connection)).toBe(waiting().length > 0);
          handed.push(connection);
          if (waiting().length === 0) spare.push(connection);
        } else if (what === "dialled") {
          const own = take(at);
          if (own !== undefined) handed.push(made);
          own?.resolve(made++);
        } else if (what === "failed") {
          const own = take(at);
          if (own !== undefined && dials.size < waiting().length) refused += 1;
          own?.reject(new Error("refused"));
        } else {
          waiting()[at]?.controller.abort(new Error("left"));
        }
        await new Promise(setImmediate);
        expect(dials.size).toBeGreaterThanOrEqual(waiting().length);
      }
      const lent = requests.flatMap(({ outcome }) => (typeof outcome === "number" ? [outcome] : []));
      expect([...lent, ...spare].toSorted((a, b) => a - b)).toEqual(handed.toSorted((a, b) => a - b));
      const failures = requests.flatMap(({ outcome }) => (outcome instanceof Error ? [outcome.message] : []));
      expect(failures.filter((message) => message === "refused")).toHaveLength(refused);
      expect(failures.filter((message) => message !== "refused" && message !== "left")).toEqual([]);
    }),
    { numRuns: 300 },
  );
});

it("who waited longest is served first", async () => {
  const queue = new DialQueue<number>(() => {});
  const never = (): Promise<number> => new Promise(() => {});
  const { signal } = new AbortController();
  const waiting = [queue.wait(never, signal), queue.wait(never, signal)];
  queue.give(1);
  queue.give(2);
  expect(await Promise.all(waiting)).toEqual([1, 2]);
});

it("who leaves takes a dial along, and who comes at that moment gets one of its own", async () => {
  const dials: AbortSignal[] = [];
  const dial = (signal: AbortSignal): Promise<number> => {
    dials.push(signal);
    return new Promise((_, reject) => signal.addEventListener("abort", () => reject(new Error("abandoned"))));
  };
  const queue = new DialQueue<number>(() => {});
  const clients = [new AbortController(), new AbortController(), new AbortController()];
  const left = clients.map(({ signal }) => queue.wait(dial, signal));
  for (const client of clients) client.abort(new Error("left"));
  const next = queue.wait(dial, new AbortController().signal);
  expect(dials.map(({ aborted }) => aborted)).toEqual([true, true, true, false]);
  expect((await Promise.allSettled(left)).map(({ status }) => status)).toEqual(["rejected", "rejected", "rejected"]);
  expect(queue.give(1)).toBe(true);
  expect(await next).toBe(1);
});
