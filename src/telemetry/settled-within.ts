// Waiting that has an end.

/** Resolves when `work` has, or after `ms`, whichever comes first; true: `work` was first. Rejects where it rejects first. */
export async function settledWithin(work: Promise<unknown>, ms: number): Promise<boolean> {
  const tooLate = Promise.withResolvers<false>();
  const deadline = setTimeout(() => tooLate.resolve(false), ms);
  try {
    return await Promise.race([work.then(() => true), tooLate.promise]);
  } finally {
    clearTimeout(deadline);
  }
}
