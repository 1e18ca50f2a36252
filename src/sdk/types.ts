// What programs give to the Secret API and get from it.

/** Forward an unusable placeholder unchanged, or refuse the request that carries it. */
export type OnViolation = "pass" | "block";

/** A secret as it may be shown: the value never leaves the API this way. */
export interface Secret {
  readonly id: string;
  /** Unique within the organization. */
  readonly name: string;
  readonly description: string | undefined;
  /** What sandboxes hold in the value's place. Stays when the value is rotated. */
  readonly placeholder: string;
  /** `api.example.com`, or `*.example.com` for the domain itself and every name below it. Empty: unrestricted. */
  readonly hosts: readonly string[];
  readonly createdAt: Date;
  readonly updatedAt: Date;
  /** Where in a request the value may be written, as `header:authorization`; undefined: the deployment's default. */
  readonly locations: readonly string[] | undefined;
  readonly onViolation: OnViolation | undefined;
  /** What the API has to remark on this call, say a wildcard that spans other people's hosts. */
  readonly warnings: readonly string[];
}

export interface CreateSecret {
  /** A letter or underscore, then letters, digits, underscores and hyphens. */
  readonly name: string;
  /** Write-only: no call gives it back. */
  readonly value: string;
  readonly description?: string;
  /** Left out, the secret is unrestricted. */
  readonly hosts?: readonly string[];
  /** keyswap's own; Daytona's API ignores it. */
  readonly locations?: readonly string[];
  /** keyswap's own. */
  readonly onViolation?: OnViolation;
  /** keyswap's own: a placeholder of your choice, for clients that check a key's shape. At least 20 characters. */
  readonly placeholder?: string;
}

/** What is left out stays as it is; null goes back to the default. */
export interface UpdateSecret {
  readonly value?: string;
  readonly description?: string | null;
  /** Replaces the whole list; an empty one makes the secret unrestricted. */
  readonly hosts?: readonly string[];
  readonly locations?: readonly string[] | null;
  readonly onViolation?: OnViolation | null;
  readonly placeholder?: string;
}

export interface ListQuery {
  /** Part of the name. */
  readonly name?: string;
  /** Default `createdAt`. */
  readonly sort?: "name" | "createdAt" | "updatedAt";
  /** Default `desc`. */
  readonly order?: "asc" | "desc";
}

export interface PageQuery extends ListQuery {
  /** 1 to 200, default 100. */
  readonly limit?: number;
  /** `nextCursor` of the page before, with the same query. */
  readonly cursor?: string;
}

export interface SecretPage {
  readonly items: readonly Secret[];
  /** How many match, over all pages. */
  readonly total: number;
  /** Undefined on the last page. */
  readonly nextCursor: string | undefined;
}

export interface CallOptions {
  /** Ends the call; it then rejects with the signal's reason. */
  readonly signal?: AbortSignal;
}
