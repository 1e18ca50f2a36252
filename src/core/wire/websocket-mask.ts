// Masking (RFC 6455 section 5.3): a client's payload is XORed with a key of four bytes, and taken out of it the same way.

/** Below this setting up words costs more than it saves. */
const minWordBytes = 64;

/** A masked, or unmasked, copy. `at`: how many bytes of the frame's payload came before. */
export function applyMask(bytes: Buffer, key: Buffer, at: number): Buffer {
  // Memory of its own, which begins at a word.
  const masked = bytes.length < minWordBytes ? Buffer.allocUnsafe(bytes.length) : Buffer.allocUnsafeSlow(bytes.length);
  let pos = 0;
  if (bytes.length >= minWordBytes) {
    masked.set(bytes);
    const rotated = Uint8Array.of(key[at & 3]!, key[(at + 1) & 3]!, key[(at + 2) & 3]!, key[(at + 3) & 3]!);
    const word = new Uint32Array(rotated.buffer)[0]!;
    const words = new Uint32Array(masked.buffer, 0, bytes.length >>> 2);
    for (let i = 0; i < words.length; i++) words[i]! ^= word;
    pos = words.length * 4;
  }
  for (; pos < bytes.length; pos++) masked[pos] = bytes[pos]! ^ key[(at + pos) & 3]!;
  return masked;
}
