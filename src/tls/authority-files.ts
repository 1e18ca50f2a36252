// ca.pem and ca-key.pem: read with care, made once, never overwritten.
//
// Making the pair is safe against a second process and against a crash, without a lock. The certificate is written
// under a name derived from its key, then the key is linked to its place: that link fails where a key already stands,
// so exactly one process wins. Whoever finds a key without certificate looks for the one put by under that key's name
// and finishes the work.

import { createHash, createPublicKey, randomBytes } from "node:crypto";
import { constants } from "node:fs";
import { copyFile, link, mkdir, open, readFile, stat, unlink } from "node:fs/promises";
import { join, resolve } from "node:path";
import { CertificateAuthorityError, errnoOf } from "./authority-error.ts";

export interface AuthorityFiles {
  readonly certificatePath: string;
  readonly keyPath: string;
  readonly certificate: string;
  readonly key: string;
}

export interface NewAuthority {
  readonly certificate: string;
  readonly key: string;
}

/** Reads the pair; where neither file is there, makes it with `make`. */
export async function openAuthorityFiles(folder: string, make: () => NewAuthority): Promise<AuthorityFiles> {
  const dir = resolve(folder);
  const certificatePath = join(dir, "ca.pem");
  const keyPath = join(dir, "ca-key.pem");

  let { key, certificate } = await readPair(keyPath, certificatePath);
  if (key === undefined && certificate === undefined) {
    await writePair(dir, keyPath, certificatePath, make());
    ({ key, certificate } = await readPair(keyPath, certificatePath));
  }
  if (key !== undefined && certificate === undefined) {
    await finishPair(dir, key, certificatePath);
    certificate = await read(certificatePath);
  }
  // A key that another process linked after our first look.
  if (key === undefined) key = await read(keyPath);
  if (key === undefined) {
    throw new CertificateAuthorityError(
      "key-missing",
      keyPath,
      "the CA's private key is missing although its certificate ca.pem is there. Put the key back, " +
        "or move ca.pem away as well to have a new CA made (clients must then trust the new one).",
    );
  }
  if (certificate === undefined) {
    throw new CertificateAuthorityError(
      "certificate-missing",
      certificatePath,
      "the CA's certificate is missing although its key ca-key.pem is there. Put the certificate back, " +
        "or move ca-key.pem away as well to have a new CA made (clients must then trust the new one).",
    );
  }
  await checkKeyMode(keyPath);
  return { certificatePath, keyPath, certificate, key };
}

/** The key first: it is what a making process puts in place first. */
async function readPair(keyPath: string, certificatePath: string) {
  const key = await read(keyPath);
  return { key, certificate: await read(certificatePath) };
}

async function read(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "latin1");
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === "ENOENT") return undefined;
    throw new CertificateAuthorityError(
      "unreadable",
      path,
      `cannot be read (${errno}). Let the user that runs keyswap read it; it was left as it is.`,
      { cause: error },
    );
  }
}

/**
 * Who can read the key can read every sandbox's traffic. Our own file: nobody else. A file of another user, as container
 * platforms mount secrets (root's, readable by our group): never the rest of the world, never writable by a group.
 */
async function checkKeyMode(keyPath: string): Promise<void> {
  const self = process.geteuid?.();
  // Windows has no such modes; access is by lists there.
  if (self === undefined) return;
  const { mode, uid } = await stat(keyPath);
  if ((mode & (uid === self ? 0o077 : 0o027)) === 0) return;
  const octal = (mode & 0o777).toString(8).padStart(4, "0");
  throw new CertificateAuthorityError(
    "key-exposed",
    keyPath,
    `the CA's private key is accessible to other users (mode ${octal}). Run: chmod 600 '${keyPath}'. ` +
      "If others may have read it, move both files away to have a new CA made.",
  );
}

async function writePair(dir: string, keyPath: string, certificatePath: string, made: NewAuthority): Promise<void> {
  const keyDraft = join(dir, `.ca-key-${randomBytes(8).toString("hex")}.tmp`);
  const certificateDraft = draftPath(dir, made.key);
  const drafts: string[] = [];
  try {
    await mkdir(dir, { recursive: true });
    drafts.push(certificateDraft);
    await writeNew(certificateDraft, made.certificate, 0o644);
    drafts.push(keyDraft);
    await writeNew(keyDraft, made.key, 0o600);
    await place(keyDraft, keyPath);
    // Where another process was faster, its key stands there and this finishes that process's pair, not ours.
    const winner = await readFile(keyPath, "latin1");
    await finishPair(dir, winner, certificatePath);
    await syncFolder(dir);
  } catch (error) {
    throw unwritable(dir, error);
  } finally {
    for (const draft of drafts) await unlink(draft).catch(() => undefined);
  }
}

/** Puts the certificate that was drafted for this key in its place, unless one stands there. */
async function finishPair(dir: string, key: string, certificatePath: string): Promise<void> {
  let draft: string;
  try {
    draft = draftPath(dir, key);
  } catch {
    // Not a readable key, so not one of ours: there is no draft, and reading the key will say what is wrong.
    return;
  }
  try {
    await place(draft, certificatePath);
    // Whoever else finishes this pair finds no draft then, and the certificate in its place.
    await unlink(draft).catch(() => undefined);
  } catch (error) {
    if (errnoOf(error) !== "ENOENT") throw unwritable(dir, error);
  }
}

function unwritable(dir: string, cause: unknown): CertificateAuthorityError {
  if (cause instanceof CertificateAuthorityError) return cause;
  return new CertificateAuthorityError(
    "unwritable",
    dir,
    `the CA cannot be stored here (${errnoOf(cause)}). Make the folder writable for the user that runs keyswap, ` +
      "or name another one with KEYSWAP_CERTS_DIR.",
    { cause },
  );
}

function draftPath(dir: string, key: string): string {
  const id = createHash("sha256")
    .update(createPublicKey(key).export({ type: "spki", format: "der" }))
    .digest("hex");
  return join(dir, `.ca-${id.slice(0, 32)}.tmp`);
}

/** Whole and on disk when it resolves; rejects with EEXIST where there is such a file. */
export async function writeNew(path: string, content: string, mode: number): Promise<void> {
  const file = await open(path, "wx", mode);
  try {
    // Past the umask, which could take bits away but also could not.
    await file.chmod(mode);
    await file.writeFile(content, "latin1");
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Gives a complete file its final name; does nothing where that name is taken. Throws ENOENT where there is no draft. */
async function place(draft: string, path: string): Promise<void> {
  try {
    await link(draft, path);
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === "EEXIST") return;
    if (!["EPERM", "ENOSYS", "ENOTSUP", "EOPNOTSUPP", "EMLINK"].includes(errno)) throw error;
    // A file system without hard links (some network and desktop mounts): still exclusive, though not in one step.
    await copyFile(draft, path, constants.COPYFILE_EXCL).catch((failure: unknown) => {
      if (errnoOf(failure) !== "EEXIST") throw failure;
    });
  }
}

/** So that the new names outlive a power cut. Not every file system can. */
async function syncFolder(dir: string): Promise<void> {
  const folder = await open(dir, "r").catch(() => undefined);
  await folder?.sync().catch(() => undefined);
  await folder?.close();
}
