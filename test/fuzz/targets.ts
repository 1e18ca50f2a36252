// The table of targets. One more: a file beside this one, and a line here.

import { proxyAborts } from "./proxy-aborts.ts";
import { proxyBodies } from "./proxy-bodies.ts";
import { requestBodies } from "./request-bodies.ts";
import { responseBodies } from "./response-bodies.ts";
import type { FuzzTarget } from "./target.ts";
import { websocketFrames } from "./websocket-frames.ts";

export const fuzzTargets: readonly FuzzTarget[] = [
  requestBodies,
  responseBodies,
  proxyBodies,
  proxyAborts,
  websocketFrames,
];
