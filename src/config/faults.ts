// What is wrong with a configuration, all of it at once.

/** One thing to put right. It never holds the value of a key, a token or a URL that may carry a password. */
export interface Fault {
  /** As the user gave it: `KEYSWAP_PROXY_LISTEN`, `--proxy-listen`, `proxy-listen in /etc/keyswap.yaml`. */
  readonly name: string;
  readonly problem: string;
  /** What would be right there, ready to paste. */
  readonly example?: string;
}

/** Thrown by loading: the caller prints the message and exits with 2. */
export class ConfigError extends Error {
  readonly code = "config-invalid";
  readonly faults: readonly Fault[];

  constructor(faults: readonly Fault[]) {
    super(formatFaults(faults));
    this.name = "ConfigError";
    this.faults = faults;
  }
}

function formatFaults(faults: readonly Fault[]): string {
  const heading =
    faults.length === 1 ? "The configuration has a fault:" : `The configuration has ${faults.length} faults:`;
  const lines = faults.map(({ name, problem, example }) => {
    const hint = example === undefined ? "" : ` (for example ${example})`;
    return `  ${name}: ${problem}${hint}`;
  });
  return [heading, ...lines].join("\n");
}
