// A new CA in place of the old one without a moment in which clients trust neither. Three steps, each of which leaves the
// folder in a state that a start can use, whatever happens in between:
//
//   prepare   a new pair; ca.pem holds both certificates, the old key signs      clients learn to trust both
//   finish    the new key takes the old one's place in one rename                leaves come from the new CA
//   forget    ca.pem holds the new certificate alone                             the old one is not told any more
//
// A CA's certificate is the one in ca.pem that belongs to the key (authority.ts), so no two files have to change at once.

import { X509Certificate } from "node:crypto";
import { access, readFile, rename, unlink } from "node:fs/promises";
import { join, resolve } from "node:path";
import { CertificateAuthority, makeAuthority } from "./authority.ts";
import { CertificateAuthorityError, errnoOf } from "./authority-error.ts";
import { openAuthorityFiles, writeNew } from "./authority-files.ts";

export interface Rotation {
  /** SHA-256 of the certificate that signs now, and of the one that comes next. */
  readonly current: string;
  readonly next: string | undefined;
}

const certificateBlock = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** Makes the next CA, unless that was done; from here on ca.pem tells clients to trust both. */
export async function prepareRotation(dir: string, now: number): Promise<Rotation> {
  const current = await openCurrent(dir, now);
  const path = nextKeyPath(dir);
  if (await exists(path)) throw fault(path, "a rotation is under way: end it with keyswap ca rotate --finish.");
  const made = makeAuthority(now);
  // The certificate first: a key without one could not be finished.
  await replace(join(resolve(dir), "ca.pem"), joined([current.certificatePem, made.certificate]), 0o644);
  await replace(path, made.key, 0o600);
  return { current: current.fingerprint, next: fingerprintOf(made.certificate) };
}

/** The prepared CA signs from here on. Proxies take it up on a reload (SIGHUP) or a restart. */
export async function finishRotation(dir: string, now: number): Promise<Rotation> {
  await openCurrent(dir, now);
  const path = nextKeyPath(dir);
  if (!(await exists(path))) throw fault(path, "no rotation is under way: begin with keyswap ca rotate.");
  await rename(path, join(resolve(dir), "ca-key.pem"));
  const next = await openCurrent(dir, now);
  await replace(join(resolve(dir), "ca.pem"), next.certificatePem, 0o644);
  return { current: next.fingerprint, next: undefined };
}

/** Takes every certificate out of ca.pem but the one that signs. */
export async function forgetFormer(dir: string, now: number): Promise<Rotation> {
  const current = await openCurrent(dir, now);
  const path = nextKeyPath(dir);
  if (await exists(path)) throw fault(path, "a rotation is under way: end it with keyswap ca rotate --finish.");
  const [own = ""] = current.certificatePem.match(certificateBlock) ?? [];
  await replace(join(resolve(dir), "ca.pem"), `${own}\n`, 0o644);
  return { current: current.fingerprint, next: undefined };
}

async function openCurrent(dir: string, now: number): Promise<CertificateAuthority> {
  const files = await openAuthorityFiles(dir, () => {
    throw fault(resolve(dir), "there is no CA here yet; the first keyswap start makes one.");
  });
  return new CertificateAuthority(files, now);
}

function nextKeyPath(dir: string): string {
  return join(resolve(dir), "ca-next-key.pem");
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

function joined(texts: readonly string[]): string {
  return texts
    .flatMap((text) => text.match(certificateBlock) ?? [])
    .join("\n")
    .concat("\n");
}

function fingerprintOf(pem: string): string {
  return new X509Certificate(pem).fingerprint256.replaceAll(":", "").toLowerCase();
}

/** All of it or nothing: a reader never sees half a file. */
async function replace(path: string, content: string, mode: number): Promise<void> {
  const draft = `${path}.tmp`;
  try {
    await unlink(draft).catch(() => undefined);
    await writeNew(draft, content, mode);
    await rename(draft, path);
  } catch (error) {
    throw new CertificateAuthorityError("unwritable", path, `cannot be written (${errnoOf(error)}).`, { cause: error });
  }
}

function fault(path: string, message: string): CertificateAuthorityError {
  return new CertificateAuthorityError("rotation", path, message);
}

/** For tests and messages. */
export async function readCertificates(dir: string): Promise<readonly string[]> {
  return (await readFile(join(resolve(dir), "ca.pem"), "latin1")).match(certificateBlock) ?? [];
}
