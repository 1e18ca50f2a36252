// What all processes of the benchmark agree on.

/** Every system resolves names below `localhost` to itself (RFC 6761 section 6.3). */
export const hostName = "bench.localhost";
/** Not as long as a placeholder, so that lengths change. */
export const secretValue = "not-a-secret-A1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q7r8S9t0";
export const downloadBytes = 64 * 1024 * 1024;
export const uploadBytes = 64 * 1024 * 1024;
export const postBytes = 32 * 1024;

export interface OriginSetup {
  readonly cert: string;
  readonly key: string;
}

export interface ProxySetup extends OriginSetup {
  /** Trusted for the origin. */
  readonly ca: string;
  /** The origin's. */
  readonly port: number;
  readonly placeholder: string;
  readonly secret: string;
}
