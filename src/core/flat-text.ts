// Text as one piece of memory. V8 keeps what was joined, or cut out of a longer text, as references to its parts: those live
// as long, a look-up in a Map takes a detour, and its fast way of writing JSON, half the time of the other, is left.

/** Up to this length V8 copies instead of referring. */
const COPIED_LENGTH = 12;
const scratch = Buffer.allocUnsafe(2_048);

/** The same text. Latin-1 only: anything else would come out as another one. What is very long is left as it is. */
export function flatten(text: string): string {
  const { length } = text;
  if (length <= COPIED_LENGTH || length > scratch.length) return text;
  scratch.write(text, 0, "latin1");
  return scratch.toString("latin1", 0, length);
}
