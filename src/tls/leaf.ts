// Leaves: the certificates shown to clients in a host's place.

import { generateKeyPairSync, randomFillSync } from "node:crypto";
import { backdateMs, type CertificateAuthority, dayMs } from "./authority.ts";
import {
  authorityKeyIdentifier,
  basicConstraints,
  encodeName,
  encodePem,
  encodePublicKey,
  encodeSerial,
  keyUsage,
  serverAuthUsage,
  subjectAltName,
  subjectKeyIdentifier,
} from "./x509.ts";

/** Well below every client's limit on a leaf's life. */
const lifetimeMs = 30 * dayMs;

export interface Leaf {
  readonly certificatePem: string;
  /** Milliseconds since the epoch. */
  readonly notBefore: number;
  readonly notAfter: number;
}

/**
 * Mints leaves for one CA with one key, made with the minter: a key per host would protect nothing, since all of them
 * live in this process, and cost more than the rest of the mint. All that does not depend on the host is encoded once.
 */
export class LeafMinter {
  /** PEM in the form that OpenSSL reads fastest (SEC 1). */
  readonly keyPem: Buffer;
  readonly #authority: CertificateAuthority;
  readonly #publicKey: Buffer;
  // The host stands in the alternative name alone. A common name could not hold every host (64 characters at most),
  // and no name at all would make that extension critical; this one tells a person who has answered.
  readonly #subject = encodeName({ organization: "keyswap" });
  readonly #extensions: readonly Buffer[];

  constructor(authority: CertificateAuthority) {
    const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const { der, identifier } = encodePublicKey(publicKey);
    this.keyPem = Buffer.from(privateKey.export({ type: "sec1", format: "pem" }));
    this.#authority = authority;
    this.#publicKey = der;
    this.#extensions = [
      basicConstraints(false),
      keyUsage("server"),
      serverAuthUsage(),
      subjectKeyIdentifier(identifier),
      authorityKeyIdentifier(authority.keyIdentifier),
    ];
  }

  /**
   * `host` is canonical: a lower-case ASCII name, or an IP literal without brackets. The leaf never outlives its CA.
   * Throws CertificateAuthorityError once the CA has expired.
   */
  mint(host: string, now: number): Leaf {
    this.#authority.checkValidity(now);
    const notBefore = Math.max(now - backdateMs, this.#authority.notBefore.getTime());
    const notAfter = Math.min(now + lifetimeMs, this.#authority.notAfter.getTime());
    const certificate = this.#authority.sign({
      serial: encodeSerial(randomFillSync(serialBytes)),
      notBefore,
      notAfter,
      subject: this.#subject,
      publicKey: this.#publicKey,
      extensions: [...this.#extensions, subjectAltName([host])],
    });
    return { certificatePem: encodePem(certificate), notBefore, notAfter };
  }
}

const serialBytes = Buffer.alloc(16);
