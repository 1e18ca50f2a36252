// The worker thread of `keyswap start`: the Secret API and its store, away from the proxy, so that a commit's wait for
// the disk never stalls an exchange.

import { parentPort, workerData } from "node:worker_threads";
import { createLogging } from "../telemetry/logger.ts";
import { openApiService } from "./api-service.ts";
import type { ApiThreadData, FromApiThread, ToApiThread } from "./api-thread.ts";
import { describeStartFailure } from "./start-failure.ts";

// The one who makes this thread gives both.
const port = parentPort!;
const { service: options, logLevel } = workerData as ApiThreadData;

const say = (message: FromApiThread) => port.postMessage(message);
const logging = createLogging({ level: logLevel });
try {
  const service = await openApiService(options, logging.logger);
  port.on("message", async (message: ToApiThread) => {
    if (message.type === "proxy-url") return service.setProxyUrl(message.url);
    await service.close();
    await logging.flush();
    say({ type: "closed" });
    port.close();
  });
  say({ type: "ready", url: service.url });
} catch (error) {
  await logging.flush();
  say({ type: "failed", failure: describeStartFailure(error, "the Secret API", "KEYSWAP_API_LISTEN") });
}
