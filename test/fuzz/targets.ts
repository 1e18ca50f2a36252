// The table of targets. One more: a file beside this one, and a line here.

import { contentCodings } from "./content-codings.ts";
import { basicAuth } from "./credentials.ts";
import { http2Frames } from "./http2-frames.ts";
import { proxyAborts } from "./proxy-aborts.ts";
import { proxyBodies } from "./proxy-bodies.ts";
import { requestBodies } from "./request-bodies.ts";
import { responseBodies } from "./response-bodies.ts";
import { secretApiBodies } from "./secret-api-bodies.ts";
import type { FuzzTarget } from "./target.ts";
import { websocketFrames } from "./websocket-frames.ts";
import { clientHello, http1Requests, http1Responses, socks5 } from "./wire.ts";

export const fuzzTargets: readonly FuzzTarget[] = [
  requestBodies,
  responseBodies,
  proxyBodies,
  proxyAborts,
  websocketFrames,
  http2Frames,
  clientHello,
  socks5,
  http1Requests,
  http1Responses,
  basicAuth,
  contentCodings,
  secretApiBodies,
];
