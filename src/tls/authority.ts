// The certificate authority that sandboxes trust.
//
//   authority.ts        the CA: opened from its folder, made on first use; signs leaves
//   authority-files.ts  its two files
//   x509.ts             certificates as DER
//   leaf.ts             a leaf for one host
//   leaf-cache.ts       TLS contexts by host, bounded
//
// Invariants: a CA is never overwritten or silently replaced; what is wrong with its files stops the start; the key is
// used here and shown nowhere.

import { createPrivateKey, generateKeyPairSync, type KeyObject, randomBytes, X509Certificate } from "node:crypto";
import type { Clock } from "../core/ports.ts";
import { CertificateAuthorityError } from "./authority-error.ts";
import { type NewAuthority, openAuthorityFiles } from "./authority-files.ts";
import {
  basicConstraints,
  type CertificateParts,
  encodeCertificate,
  encodeName,
  encodePem,
  encodePublicKey,
  encodeSerial,
  keyUsage,
  makeSigner,
  readIssuer,
  type Signer,
  subjectKeyIdentifier,
} from "./x509.ts";

export { CertificateAuthorityError } from "./authority-error.ts";

export const dayMs = 24 * 60 * 60 * 1000;
/** Peers' clocks may run behind ours; certificates are valid from this long before they are made. */
export const backdateMs = dayMs;
const lifetimeMs = 3652 * dayMs;

export class CertificateAuthority {
  /** PEM: what clients have to trust. Several certificates where the file has them, ours first. */
  readonly certificatePem: string;
  /** Absolute path of ca.pem. */
  readonly certificatePath: string;
  /** SHA-256 of our certificate, lower-case hex without colons. */
  readonly fingerprint: string;
  readonly notBefore: Date;
  readonly notAfter: Date;
  /** The subject and key identifier as DER and bytes: what a leaf names as its issuer. */
  readonly subject: Buffer;
  readonly keyIdentifier: Buffer;
  readonly #signer: Signer;

  /** Opens the CA in this folder; makes it where there is none. Throws CertificateAuthorityError. */
  static async open(dir: string, clock: Clock): Promise<CertificateAuthority> {
    const files = await openAuthorityFiles(dir, () => makeAuthority(clock()));
    return new CertificateAuthority(files, clock());
  }

  /** For what `open` has read; checks that the pair can serve. */
  constructor(files: { certificatePath: string; keyPath: string; certificate: string; key: string }, now: number) {
    const given = files.certificate.match(pemBlock) ?? [];
    const first = parseCertificate(given[0], files.certificatePath);
    const key = parseKey(files.key, files.keyPath);
    // While one CA takes another's place both are there: ours is the one that the key belongs to.
    const own = given.find((pem) => isOf(pem, key)) ?? given[0];
    const certificates = own === undefined ? [] : [own, ...given.filter((pem) => pem !== own)];
    const certificate = own === given[0] ? first : parseCertificate(own, files.certificatePath);
    const signer = makeSigner(key);
    if (signer === undefined) {
      throw new CertificateAuthorityError(
        "malformed",
        files.keyPath,
        "the CA's key is of a kind that cannot be used; it has to be an elliptic-curve (better) or RSA key.",
      );
    }
    if (!certificate.checkPrivateKey(key)) {
      throw new CertificateAuthorityError(
        "mismatch",
        files.certificatePath,
        `this certificate does not belong to the key ${files.keyPath}. Put the two files of one CA there, ` +
          "or move both away to have a new CA made.",
      );
    }

    this.certificatePem = certificates.map((pem) => `${pem.replaceAll("\r", "")}\n`).join("");
    this.certificatePath = files.certificatePath;
    this.fingerprint = certificate.fingerprint256.replaceAll(":", "").toLowerCase();
    this.notBefore = certificate.validFromDate;
    this.notAfter = certificate.validToDate;
    const issuer = readIssuer(certificate.raw);
    this.subject = issuer.name;
    this.keyIdentifier = issuer.keyIdentifier ?? encodePublicKey(certificate.publicKey).identifier;
    this.#signer = signer;
    this.checkValidity(now);
  }

  /** Throws where the CA has expired or is not valid yet: no client would take what it signs. */
  checkValidity(now: number): void {
    if (now >= this.notAfter.getTime()) {
      throw new CertificateAuthorityError(
        "expired",
        this.certificatePath,
        `the CA expired on ${this.notAfter.toISOString()}. Move ca.pem and ca-key.pem away to have a new CA made ` +
          "(clients must then trust the new one).",
      );
    }
    if (now < this.notBefore.getTime()) {
      throw new CertificateAuthorityError(
        "not-yet-valid",
        this.certificatePath,
        `the CA is valid only from ${this.notBefore.toISOString()}. Check this machine's clock.`,
      );
    }
  }

  /** A certificate in this CA's name, as DER. */
  sign(parts: Omit<CertificateParts, "issuer">): Buffer {
    return encodeCertificate({ ...parts, issuer: this.subject }, this.#signer);
  }
}

/** From so long before its end on the CA is warned of. */
const warnBeforeMs = 30 * dayMs;

/** What to tell of a CA that ends soon; undefined while there is time. */
export function expiryWarning({ notAfter }: Pick<CertificateAuthority, "notAfter">, now: number): string | undefined {
  const leftMs = notAfter.getTime() - now;
  if (leftMs > warnBeforeMs) return undefined;
  const days = Math.max(0, Math.floor(leftMs / dayMs));
  return `the CA ends in ${days} days, on ${notAfter.toISOString()}: put a new one in its place with keyswap ca rotate`;
}

function isOf(pem: string, key: KeyObject): boolean {
  try {
    return new X509Certificate(pem).checkPrivateKey(key);
  } catch {
    return false;
  }
}

const pemBlock = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

function parseCertificate(pem: string | undefined, path: string): X509Certificate {
  let certificate: X509Certificate;
  try {
    if (pem === undefined) throw new Error("no PEM block");
    certificate = new X509Certificate(pem);
  } catch (cause) {
    throw new CertificateAuthorityError(
      "malformed",
      path,
      "this is no certificate in PEM form. Put the CA's certificate back; it was left as it is.",
      { cause },
    );
  }
  if (!certificate.ca) {
    throw new CertificateAuthorityError(
      "malformed",
      path,
      "this certificate is not a CA's (basicConstraints has to say CA:TRUE), so it cannot sign for hosts.",
    );
  }
  return certificate;
}

/** The parser's own error stays out: the message must not quote the file. */
function parseKey(pem: string, path: string): KeyObject {
  try {
    return createPrivateKey(pem);
  } catch {
    const encrypted = pem.includes("ENCRYPTED");
    throw new CertificateAuthorityError(
      "malformed",
      path,
      encrypted
        ? "this key is encrypted; store it unencrypted with mode 0600."
        : "this is no private key in PEM form. Put the CA's key back; it was left as it is.",
    );
  }
}

/** A fresh CA that may sign leaves alone (pathLength 0), valid for ten years. */
export function makeAuthority(now: number): NewAuthority {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const { der, identifier } = encodePublicKey(publicKey);
  const signer = makeSigner(privateKey);
  if (signer === undefined) throw new Error("an elliptic-curve key makes a signer");
  // The id tells the CAs of several installations apart in a browser's list.
  const name = encodeName({ commonName: `keyswap CA ${identifier.toString("hex").slice(0, 8)}` });
  const certificate = encodeCertificate(
    {
      serial: encodeSerial(randomBytes(16)),
      issuer: name,
      subject: name,
      notBefore: now - backdateMs,
      notAfter: now + lifetimeMs,
      publicKey: der,
      extensions: [
        basicConstraints({ pathLength: 0 }),
        keyUsage("sign-certificates"),
        subjectKeyIdentifier(identifier),
      ],
    },
    signer,
  );
  return { certificate: encodePem(certificate), key: String(privateKey.export({ type: "pkcs8", format: "pem" })) };
}
