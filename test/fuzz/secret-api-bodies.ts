// Answers of a Secret API that is ill or hostile: read right or refused with a reason that holds nothing of them.

import { inspect } from "node:util";
import fc from "fast-check";
import {
  parseChangeMessage,
  parseEgressAnswer,
  parseResolveAnswer,
  parseSourcesAnswer,
} from "../../src/secrets/wire.ts";
import { placeholder } from "../core/substitution/requests.ts";
import { damage, damaged } from "./damage.ts";
import type { FuzzTarget } from "./target.ts";

const id = "6f1c4a52-6a0c-4f0e-9e0b-0d5d2f6f8d11";
const canary = "a-value-that-no-reason-may-hold";
const grants = [
  {
    env: "KEY",
    name: "KEY",
    placeholder: placeholder("a"),
    value: canary,
    hosts: ["api.example.com", "*.example.org"],
    locations: ["header", "query:key"],
    onViolation: null,
  },
];
const egress = {
  sandboxId: id,
  version: "7",
  tokenHash: `sha256:${"0".repeat(64)}`,
  sources: ["10.0.0.1/32"],
  onViolation: "block",
  egress: { allow: ["*.example.com"], deny: ["x.example.com:25"] },
  grants,
};

/** One field somewhere becomes something else, or goes. */
const edits = fc.array(
  fc.record({
    path: fc.array(fc.nat(8), { minLength: 1, maxLength: 4 }),
    to: fc.oneof(fc.jsonValue(), fc.constantFrom(undefined, canary, [], {}, "", -1, [canary], { [canary]: canary })),
  }),
  { maxLength: 2 },
);

function edit(target: unknown, path: readonly number[], to: unknown): void {
  if (typeof target !== "object" || target === null) return;
  const keys = Object.keys(target);
  const [at = 0, ...rest] = path;
  const key = keys[at % Math.max(1, keys.length)];
  if (key === undefined) return;
  // Any object or array has its own keys as strings.
  const record = target as Record<string, unknown>;
  const child = record[key];
  if (rest.length > 0 && typeof child === "object" && child !== null) edit(child, rest, to);
  else record[key] = to;
}

export const secretApiBodies: FuzzTarget = {
  name: "secret-api-bodies",
  open: () => ({
    property: fc.property(edits, damage, fc.boolean(), (made, damage, isDamaged) => {
      const answer: unknown = structuredClone(egress);
      for (const { path, to } of made) edit(answer, path, structuredClone(to));
      const text = Buffer.from(JSON.stringify(answer) ?? "", "utf8");
      const bytes = isDamaged ? damaged(text, damage) : text;
      for (const parsed of [
        parseEgressAnswer(bytes, id),
        parseResolveAnswer(bytes, id, "1"),
        parseSourcesAnswer(bytes),
        parseChangeMessage("change", bytes.toString("latin1")),
      ]) {
        if (parsed.kind === "malformed") {
          if (parsed.detail.includes("a-value")) throw new Error(`the reason repeats the answer: ${parsed.detail}`);
        } else if (inspect(parsed, { depth: 20 }).includes(canary) && made.length === 0) {
          throw new Error("a value is printed");
        }
      }
      if (made.length === 0 && !isDamaged && parseEgressAnswer(bytes, id).kind === "malformed")
        throw new Error("refused");
    }),
  }),
};
