// Compares our reading of a stream with Node's: where both take it they must agree; what Node refuses we must not take.

import { knownMethods, type Message, type Transcript } from "./http1-transcript.ts";

export type Difference =
  | { readonly kind: "none" }
  /** We refused, or went on waiting for, what Node took. */
  | { readonly kind: "stricter"; readonly refusal: string }
  | { readonly kind: "wrong"; readonly what: string };

const NONE: Difference = { kind: "none" };

export function compareTranscripts(ours: Transcript, nodes: Transcript): Difference {
  for (const [i, our] of ours.messages.entries()) {
    const their = nodes.messages[i];
    if (their === undefined) {
      // The one deliberate exception: any token is a method.
      if (our.method !== "" && !knownMethods.includes(our.method)) return NONE;
      return wrong(`message ${i} is taken; Node: ${nodes.refusal ?? "waits for more"}`);
    }
    const difference = compareHeads(our, their);
    if (difference !== undefined) return wrong(`message ${i}: ${difference}`);
    if (!their.body.startsWith(our.body)) return wrong(`message ${i}: content ${q(our.body)}, not ${q(their.body)}`);
    if (our.complete) {
      if (!their.complete) return wrong(`message ${i} is complete; Node: ${nodes.refusal ?? "waits for more"}`);
      if (our.body !== their.body) return wrong(`message ${i}: content ${q(our.body)}, not ${q(their.body)}`);
      if (q(our.trailers) !== q(their.trailers)) return wrong(`message ${i}: trailers`);
      // To end a connection that could live on is always allowed; what follows is never read, whatever Node makes of it.
      if (our.after === "close") return NONE;
      if (our.after !== their.after) return wrong(`after message ${i}: ${our.after}, not ${their.after}`);
    } else if (their.complete) {
      return { kind: "stricter", refusal: ours.refusal ?? "waits" };
    }
  }
  const more = nodes.messages.length > ours.messages.length;
  if (ours.refusal !== undefined) {
    return nodes.refusal === undefined || more ? { kind: "stricter", refusal: ours.refusal } : NONE;
  }
  if (more) return { kind: "stricter", refusal: "waits" };
  if (ours.rest !== nodes.rest && nodes.refusal === undefined)
    return wrong(`rest ${q(ours.rest)}, not ${q(nodes.rest)}`);
  return NONE;
}

function compareHeads(our: Message, their: Message): string | undefined {
  for (const key of ["method", "target", "status", "reason", "minor"] as const) {
    if (our[key] !== their[key]) return `${key} ${q(our[key])}, not ${q(their[key])}`;
  }
  if (q(our.fields) !== q(their.fields)) return `fields ${q(our.fields)}, not ${q(their.fields)}`;
  return undefined;
}

function wrong(what: string): Difference {
  return { kind: "wrong", what };
}

function q(value: unknown): string {
  return JSON.stringify(value);
}
