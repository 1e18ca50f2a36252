// A secret's real value on its way through the process.

/**
 * Holds a real value so that it cannot be printed by accident: conversion to string, JSON and `util.inspect` all show
 * the secret's name. `reveal()` is the only way in; call it only where bytes are written or compared.
 */
export class SecretValue {
  /** The secret's name, safe to show. */
  readonly name: string;
  readonly #bytes: Buffer;

  /** `value` is taken as UTF-8 when it is a string, and copied when it is bytes. */
  constructor(name: string, value: string | Uint8Array) {
    this.name = name;
    this.#bytes = typeof value === "string" ? Buffer.from(value, "utf8") : Buffer.from(value);
  }

  /** Length in bytes. */
  get byteLength(): number {
    return this.#bytes.length;
  }

  /** The value's bytes. Not a copy: never write into them. */
  reveal(): Buffer {
    return this.#bytes;
  }

  equals(other: SecretValue): boolean {
    return this.#bytes.equals(other.#bytes);
  }

  toString(): string {
    return `[secret ${this.name}]`;
  }

  toJSON(): string {
    return this.toString();
  }

  // util.inspect's well-known symbol is registered globally, so no node: import is needed.
  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return this.toString();
  }
}
