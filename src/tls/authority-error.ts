// Why the certificate authority cannot be used. An operator meets these at the start; the start ends there.

/** Stable, for programs. */
export type CertificateAuthorityFault =
  | "certificate-missing"
  | "key-missing"
  | "unreadable"
  | "key-exposed"
  | "malformed"
  | "mismatch"
  | "expired"
  | "not-yet-valid"
  | "unwritable"
  | "rotation";

/** The message names the path and says what to do; it never holds a byte of the key. */
export class CertificateAuthorityError extends Error {
  readonly code: CertificateAuthorityFault;
  /** The file or folder it is about. */
  readonly path: string;

  constructor(code: CertificateAuthorityFault, path: string, message: string, options?: { cause?: unknown }) {
    super(`${path}: ${message}`, options);
    this.name = "CertificateAuthorityError";
    this.code = code;
    this.path = path;
  }
}

/** The errno of a failed system call, or a stand-in: what is safe and useful to show. */
export function errnoOf(error: unknown): string {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "unknown error";
}
