// A certificate authority for test servers. Keys are made anew on every call.

import { generateKeyPairSync, randomBytes } from "node:crypto";
import {
  authorityKeyIdentifier,
  basicConstraints,
  encodeCertificate,
  encodeName,
  encodePem,
  encodePublicKey,
  encodeSerial,
  keyUsage,
  makeSigner,
  serverAuthUsage,
  subjectAltName,
  subjectKeyIdentifier,
} from "../../src/tls/x509.ts";

export interface Issued {
  readonly certPem: string;
  readonly keyPem: string;
}

export interface Pki {
  readonly caPem: string;
  readonly caKeyPem: string;
  /** A server certificate for host names and IP literals; `notBefore` and `notAfter` in milliseconds. */
  issue(names: string[], validity?: { notBefore?: number; notAfter?: number }): Issued;
}

const dayMs = 24 * 60 * 60 * 1000;

export function makePki(options: { commonName?: string; notBefore?: number; notAfter?: number } = {}): Pki {
  const ca = makeKey();
  const commonName = options.commonName ?? `test CA ${randomBytes(4).toString("hex")}`;
  const caName = encodeName({ commonName });
  const caCertificate = encodeCertificate(
    {
      serial: encodeSerial(randomBytes(16)),
      issuer: caName,
      notBefore: options.notBefore ?? Date.now() - dayMs,
      notAfter: options.notAfter ?? Date.now() + 365 * dayMs,
      subject: caName,
      publicKey: ca.der,
      extensions: [
        basicConstraints({ pathLength: 0 }),
        keyUsage("sign-certificates"),
        subjectKeyIdentifier(ca.identifier),
      ],
    },
    ca.signer,
  );

  return {
    caPem: encodePem(caCertificate),
    caKeyPem: ca.pem,
    issue(names, validity = {}) {
      const leaf = makeKey();
      const certificate = encodeCertificate(
        {
          serial: encodeSerial(randomBytes(16)),
          issuer: caName,
          notBefore: validity.notBefore ?? Date.now() - dayMs,
          notAfter: validity.notAfter ?? Date.now() + 30 * dayMs,
          subject: encodeName({ commonName: "test server" }),
          publicKey: leaf.der,
          extensions: [
            basicConstraints(false),
            keyUsage("server"),
            serverAuthUsage(),
            subjectAltName(names),
            subjectKeyIdentifier(leaf.identifier),
            authorityKeyIdentifier(ca.identifier),
          ],
        },
        ca.signer,
      );
      return { certPem: encodePem(certificate), keyPem: leaf.pem };
    },
  };
}

function makeKey() {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const signer = makeSigner(privateKey);
  if (signer === undefined) throw new Error("an elliptic-curve key makes a signer");
  return { signer, ...encodePublicKey(publicKey), pem: String(privateKey.export({ type: "pkcs8", format: "pem" })) };
}
