// From which length on a value is scrubbed: shorter ones stand in any page, and would mangle it. Apart from the scrubber,
// so that who warns of them need not load it.

/** A shorter value is not scrubbed from bodies. */
export const minBodyValueBytes = 8;
/** A shorter value is not scrubbed at all. */
export const minFieldValueBytes = 4;

/** What to say of a value of this length; undefined where it is scrubbed everywhere. */
export function shortValueWarning(bytes: number): string | undefined {
  if (bytes >= minBodyValueBytes) return undefined;
  const where = bytes < minFieldValueBytes ? "at all" : "from bodies";
  const bound = bytes < minFieldValueBytes ? minFieldValueBytes : minBodyValueBytes;
  return `the value has fewer than ${bound} bytes and is not scrubbed ${where}: a sandbox can read it where a host repeats it`;
}
