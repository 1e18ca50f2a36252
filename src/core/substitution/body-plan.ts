// How a request's body travels: untouched, rewritten in memory, rewritten in place, or rewritten as a stream.
//
// Content-Length stays whenever it can. A body that fits the buffer is rewritten there and gets its new length; a longer
// one keeps its length where every value that could go into it is as long as its placeholder; only else it is sent
// without one. Nothing is ever truncated.

import { findField, type RequestHead } from "../message.ts";
import type { NotSubstitutedReason } from "../reasons.ts";
import { type BodySyntax, syntaxOf } from "./body-syntax.ts";
import { type BodyRules, type RequestTransform, TextTransform } from "./body-text.ts";
import type { ContentCoding } from "./codings.ts";
import type { SubstitutionScope } from "./scope.ts";

export interface BodyLimits {
  /** Bodies up to this many bytes may be held in memory. */
  readonly bufferBytes: number;
}

export type BodyPlan =
  | { readonly kind: "untouched" }
  | {
      /**
       * `in-place`: as long as what came in, byte for byte; Content-Length stays. `buffered`: run the transform over
       * the whole body before the head goes out, then set Content-Length. `streamed`: the length is not known before
       * the end.
       */
      readonly kind: "in-place" | "buffered" | "streamed";
      readonly transform: RequestTransform;
      /** Codings to undo before the transform and to apply after it, in the order they were applied by the client. */
      readonly codings: readonly ContentCoding[];
    };

const UNTOUCHED: BodyPlan = { kind: "untouched" };

/** Plans the body of a request. `head`: as the client sent it, without the fields that end at the proxy. */
export function planRequestBody(
  head: RequestHead,
  length: number | "chunked",
  scope: SubstitutionScope,
  limits: BodyLimits,
): BodyPlan {
  if (length === 0) return UNTOUCHED;
  const syntax = syntaxOf(findField(head.fields, "content-type")?.value);
  if (syntax.kind === "opaque") return UNTOUCHED;
  if (length === "chunked") return streamed(syntax, scope);
  if (length <= limits.bufferBytes) {
    return { kind: "buffered", transform: makeTransform(syntax, scope, false, undefined), codings: [] };
  }
  if (!lengthsAreEqual(syntax, scope)) return streamed(syntax, scope);
  return { kind: "in-place", transform: makeTransform(syntax, scope, true, undefined), codings: [] };
}

function streamed(syntax: BodySyntax, scope: SubstitutionScope): BodyPlan {
  return { kind: "streamed", transform: makeTransform(syntax, scope, false, undefined), codings: [] };
}

/** Whether every value that may go into this body is as long as its placeholder. */
function lengthsAreEqual(syntax: BodySyntax, scope: SubstitutionScope): boolean {
  if (syntax.kind !== "text" || syntax.sniff) return syntax.kind === "binary";
  return scope.view.writable("body").every((grant) => {
    const bytes = grant.bytes(syntax.context);
    return bytes === undefined || bytes.length === grant.literal.length;
  });
}

function makeTransform(
  syntax: BodySyntax,
  scope: SubstitutionScope,
  equalLength: boolean,
  closed: NotSubstitutedReason | undefined,
): RequestTransform {
  const rules: BodyRules =
    syntax.kind === "text"
      ? { spelling: syntax.spelling, context: syntax.context, equalLength: equalLength || syntax.sniff, closed }
      : { spelling: "plain", context: "raw", equalLength: true, closed };
  return new TextTransform(rules, scope);
}
