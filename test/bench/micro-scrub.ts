// What many grants cost a download: CPU time of scrubbing 256 MiB with 1, 10 and 100 grants, in one process, in turns, so
// that the ratios hold on a noisy machine. `npx node test/bench/micro-scrub.ts [MiB]`.

import { randomBytes } from "node:crypto";
import { Scrubber } from "../../src/core/substitution/scrubber.ts";
import { grantOf, placeholderOf, sessionOf } from "../core/substitution/scrub-support.ts";

const mebibytes = Number(process.argv[2] ?? 256);
const rounds = 5;
/** As TLS gives them out. */
const chunkBytes = 16 * 1024;

/** Tokens as providers make them, and one with characters that encoders escape. */
function tokenFor(index: number): string {
  const token = randomBytes(24).toString("base64url");
  return [`sk-proj-${token}`, `ghp_${token}`, `${token}+/"&`, randomBytes(20).toString("hex")][index % 4]!;
}

const words =
  "the of and to in is that for it as was with be by on not he his but at are this have from or had an they".split(" ");

const bodies: Readonly<Record<string, Buffer>> = {
  text: Buffer.from(
    Array.from({ length: 250_000 }, (_, at) => words[(at * 7919 + (at >> 3)) % words.length]).join(" "),
  ),
  json: Buffer.from(
    JSON.stringify(
      Array.from({ length: 9000 }, (_, id) => ({ id, name: `user-${id}`, url: `https://api.test/u/${id}`, ok: true })),
    ),
  ),
  base64: Buffer.from(randomBytes(750_000).toString("base64")),
  binary: randomBytes(1024 * 1024),
};

const say = (line: string): void => void process.stdout.write(`${line}\n`);

for (const [name, body] of Object.entries(bodies)) {
  const scrubbers = [1, 10, 100].map((count) => {
    const grants = Array.from({ length: count }, (_, at) => grantOf(`S${at}`, tokenFor(at), placeholderOf("p")));
    return { count, scrubber: new Scrubber(grants), least: Number.POSITIVE_INFINITY };
  });
  const times = Math.ceil(mebibytes / rounds / (body.length / 1024 / 1024));
  for (let round = 0; round < rounds; round++) {
    for (const entry of scrubbers) {
      const before = process.cpuUsage();
      const transform = entry.scrubber.body("exact", sessionOf());
      for (let at = 0; at < times; at++) {
        for (let from = 0; from < body.length; from += chunkBytes)
          transform.push(body.subarray(from, from + chunkBytes), () => {});
      }
      const { user } = process.cpuUsage(before);
      entry.least = Math.min(entry.least, user / ((times * body.length) / 1024 / 1024));
    }
  }
  const [one] = scrubbers;
  for (const { count, least } of scrubbers) {
    say(`${name}: ${count} grants ${least.toFixed(0)} µs/MiB, ${(least / one!.least).toFixed(2)} × one grant`);
  }
}
