/** Delay before the next try after so many failures in a row: doubled each time, up to `maxMs`, spread by up to half. */
export function backoffMs(failures: number, firstMs: number, maxMs: number, random: () => number): number {
  const full = Math.min(maxMs, firstMs * 2 ** Math.min(failures - 1, 20));
  return full * (0.5 + random() / 2);
}
