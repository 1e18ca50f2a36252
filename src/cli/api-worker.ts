// The worker thread of `keyswap start`: the Secret API and its store, away from the proxy, so that a commit's wait for
// the disk never stalls an exchange.

import { once } from "node:events";
import { parentPort } from "node:worker_threads";
import { createLogging, type LogLines } from "../telemetry/logger.ts";
import { openApiService } from "./api-service.ts";
import type { FromApiThread, ToApiThread } from "./api-thread.ts";
import { collectOnceQuiet } from "./quiet-collection.ts";
import { describeStartFailure } from "./start-failure.ts";

// Whoever makes this thread gives one.
const port = parentPort!;
const say = (message: FromApiThread) => port.postMessage(message);

// Posted by api-thread.ts, whose types say so.
const [first] = (await once(port, "message")) as [ToApiThread];
if (first.type !== "start") throw new TypeError(`${first.type} before the start`);
// Messages arrive in the order in which they were sent: nothing is left to flush once a later one was.
const destination: LogLines = { write: (line) => say({ type: "log", line }), flush: async () => {} };
const { logger } = createLogging({ level: first.data.logLevel, destination });
try {
  const service = await openApiService(first.data.service, logger);
  port.on("message", async (message: ToApiThread) => {
    switch (message.type) {
      case "start":
        break;
      case "proxy-url":
        service.setProxyUrl(message.url);
        break;
      case "reload":
        service.reload(message.next);
        break;
      case "close":
        await service.close();
        say({ type: "closed" });
        port.close();
        break;
      default:
        message satisfies never;
    }
  });
  say({ type: "ready", url: service.url });
  collectOnceQuiet();
} catch (error) {
  say({ type: "failed", failure: describeStartFailure(error, "the Secret API", "KEYSWAP_API_LISTEN") });
}
