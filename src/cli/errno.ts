// What may be shown of a failed system call.

/** Its errno, or a stand-in. */
export function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "unknown error";
}
