// What a sandbox may use. The Secret API's egress answer is parsed into these types by src/secrets; nothing further in
// sees unchecked data.

import type { Cidr } from "./authority/ip.ts";
import type { HostPattern } from "./authority/pattern.ts";
import type { EgressPolicy } from "./authority/policy.ts";
import type { SecretValue } from "./secret-value.ts";

/** What to do with a placeholder that may not be substituted: forward it unchanged, or refuse the request with 403. */
export type OnViolation = "pass" | "block";

/** Where in a request a placeholder stands. */
export type Surface = "header" | "basic" | "path" | "query" | "body" | "base64";

/**
 * A place where a secret may be written: a whole surface (`header`), or one part of it: `header:x-api-key` (name in
 * lower case), `query:key`, `body:/json/pointer` or `body:form-field`.
 */
export interface Location {
  readonly surface: Surface;
  readonly part: string | undefined;
}

/** A resolved mount: this sandbox may use this value on these hosts. */
export interface Grant {
  /** Name of the environment variable that holds the placeholder. */
  readonly env: string;
  /** The secret's name; for messages and audit. */
  readonly name: string;
  /** The full literal that stands for the value: ASCII. */
  readonly placeholder: string;
  readonly value: SecretValue;
  /** Hosts the value may be sent to. Empty: unrestricted (Daytona's contract). */
  readonly hosts: readonly HostPattern[];
  /** Where the value may be written; undefined: the deployment's default surfaces. */
  readonly locations: readonly Location[] | undefined;
  /** Overrides the sandbox's and the deployment's choice. */
  readonly onViolation: OnViolation | undefined;
}

/** All that is known of one sandbox at one version. Immutable: a change makes a new object. */
export interface SandboxGrants {
  readonly sandboxId: string;
  /** Opaque; differs whenever anything else here does. */
  readonly version: string;
  /** `sha256:<64 hex>` of the sandbox's token; undefined where the API has no tokens (Daytona's resolve call). */
  readonly tokenHash: string | undefined;
  /** Source addresses by which this sandbox is known on transparent ports. */
  readonly sources: readonly Cidr[];
  readonly onViolation: OnViolation | undefined;
  readonly egress: EgressPolicy;
  readonly grants: readonly Grant[];
  /** Values that were rotated, detached or deleted lately: never sent, still scrubbed, their hosts still intercepted. */
  readonly retired: readonly Grant[];
}
