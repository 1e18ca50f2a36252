// Chooses the rewrite that carries out a plan of the core.

import type { BodyTransform } from "../core/message.ts";
import type { BodyPlan } from "../core/substitution/body-plan.ts";
import type { ContentCoding } from "../core/substitution/codings.ts";
import { FollowingScrub } from "../core/substitution/following-scrub.ts";
import { MessageTransform } from "../core/substitution/messages.ts";
import type { BodyScrub } from "../core/substitution/response-plan.ts";
import type { Scrubber, ScrubSession } from "../core/substitution/scrubber.ts";
import { CodedRewrite } from "./coded-rewrite.ts";
import { messageCodec } from "./message-codec.ts";
import { PlainRewrite, type Rewrite, type RewriteListener } from "./rewrite.ts";

/** A request's body is decoded to at most so many times its coded size. */
const maxRequestExpansion = 200;
/** An answer's: beyond gzip's own limit of about 1,032, for long logs of one line do come so. Memory is bounded without. */
const maxAnswerExpansion = 1_100;

/** For a request's body. */
export function makeRewrite(plan: Exclude<BodyPlan, { kind: "untouched" }>, listener: RewriteListener): Rewrite {
  return make(plan.transform, plan.codings, listener, maxRequestExpansion, plan.kind === "streamed");
}

/** For an answer's body; the session hears what was found. Messages are scrubbed with what `scrubber` answers then. */
export function makeScrub(
  plan: BodyScrub,
  scrubber: () => Scrubber,
  listener: RewriteListener & ScrubSession,
): Rewrite {
  const messages = ({ coding }: NonNullable<BodyScrub["messages"]>): BodyTransform =>
    new MessageTransform({
      coding,
      codec: messageCodec,
      makeRewrite: () => new FollowingScrub(scrubber, "in-place", listener),
      holdsCuts: true,
      onUnreadable: () => {
        listener.onRewriteFault("malformed-messages");
        return false;
      },
    });
  const transform =
    plan.messages === undefined ? scrubber().body(plan.mode, listener, plan.edges) : messages(plan.messages);
  const flushEach = plan.kind === "streamed" && plan.holdBytes === 0;
  return make(transform, plan.codings, listener, maxAnswerExpansion, flushEach);
}

function make(
  transform: BodyTransform,
  codings: readonly ContentCoding[],
  listener: RewriteListener,
  maxExpansion: number,
  flushEach: boolean,
): Rewrite {
  if (codings.length === 0) return new PlainRewrite(transform, listener);
  return new CodedRewrite(transform, listener, { codings, maxExpansion, flushEach });
}
