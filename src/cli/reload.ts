// SIGHUP: the configuration is read again and put into force without a connection being dropped. All or nothing: whatever
// is wrong with it, what runs goes on as it was, and the log says why.

import { compareConfigs } from "../config/changes.ts";
import type { EffectiveConfig } from "../config/load.ts";
import { type Config, plainName } from "../config/settings.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { Service } from "./service.ts";

export interface ReloadParts {
  readonly load: () => Promise<EffectiveConfig>;
  readonly service: Pick<Service, "prepareReload">;
  readonly logger: Logger;
}

export class Reloader {
  readonly #parts: ReloadParts;
  #effective: EffectiveConfig;
  #config: Config;
  /** One at a time: who comes meanwhile is served by one more. */
  #isRunning = false;
  #isWanted = false;

  constructor(effective: EffectiveConfig, parts: ReloadParts) {
    this.#parts = parts;
    this.#effective = effective;
    this.#config = effective.config;
  }

  /** What is in force. */
  get config(): Config {
    return this.#config;
  }

  request(): void {
    this.#isWanted = true;
    if (!this.#isRunning) void this.#run();
  }

  async #run(): Promise<void> {
    this.#isRunning = true;
    while (this.#isWanted) {
      this.#isWanted = false;
      await this.#reload();
    }
    this.#isRunning = false;
  }

  /** Never rejects. */
  async #reload(): Promise<void> {
    const { load, service, logger } = this.#parts;
    try {
      const after = await load();
      const { config, reloading, restarting } = compareConfigs(this.#effective, after);
      const apply = await service.prepareReload?.(config);
      // From here on nothing can fail.
      const renewed = apply?.() ?? [];
      this.#config = config;
      // What needs a restart is not in force: it is told again with each reload.
      const texts = new Map(after.settings.map((setting) => [setting.key, setting]));
      const settings = this.#effective.settings.map((setting) =>
        reloading.includes(setting.key) ? (texts.get(setting.key) ?? setting) : setting,
      );
      this.#effective = { config, settings };
      logger.level = config.logLevel;
      logger.info({ changed: [...reloading.map(plainName), ...renewed] }, "configuration reloaded");
      if (restarting.length > 0)
        logger.warn({ settings: restarting.map(plainName) }, "these settings changed and need a restart");
    } catch (error) {
      // Written for the operator, like those that end a start; it names settings and shows no secret.
      const message = error instanceof Error ? error.message : "unknown";
      logger.error({ reason: message }, "configuration not reloaded: everything stays as it was");
    }
  }
}
