// HTTP messages as data, for every protocol version. Field values and targets are Latin-1 strings: one character per
// byte on the wire, never decoded.

/** One header or trailer field in the order it was sent. */
export interface Field {
  /** As sent: some receivers mind the case. */
  readonly name: string;
  /** Lower case, for comparing. */
  readonly key: string;
  /** Latin-1, without surrounding blanks. */
  readonly value: string;
}

export interface RequestHead {
  readonly method: string;
  /** As sent: origin-form (`/a?b`), absolute-form, authority-form (CONNECT) or `*`. */
  readonly target: string;
  /** Minor version of HTTP/1; 1 for HTTP/2. */
  readonly minor: 0 | 1;
  readonly fields: readonly Field[];
  /** The protocol that the connection shall change to with this request; a field of that name alone is not forwarded. */
  readonly upgrade?: "websocket";
}

export interface ResponseHead {
  readonly status: number;
  /** Reason phrase as sent, possibly empty. */
  readonly reason: string;
  readonly minor: 0 | 1;
  readonly fields: readonly Field[];
}

export function makeField(name: string, value: string): Field {
  return { name, key: name.toLowerCase(), value };
}

/** The first field with this lower-case name, or undefined. */
export function findField(fields: readonly Field[], key: string): Field | undefined {
  for (const field of fields) if (field.key === key) return field;
  return undefined;
}

/** Takes output bytes of a transform. The buffer may be a view into the input: consume or copy it before returning. */
export type Emit = (bytes: Buffer) => void;

/**
 * A streaming rewrite of a body. Output does not depend on how the input was cut into chunks.
 *
 * `push` and `end` may return the lookup key of a placeholder that is not known yet: everything before it was emitted,
 * it and what follows is held. The caller has the key looked up and calls the same method again, with an empty chunk
 * where it was `push`. While a key is pending no further input may be given.
 */
export interface BodyTransform {
  push(chunk: Buffer, emit: Emit): string | undefined;
  end(emit: Emit): string | undefined;
}
